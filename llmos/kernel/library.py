"""The native library: environment, import and log, in the right order.

``prepare_environment`` must run before anything imports llama_cpp in this process; ``native``
then gives the low-level module. Only the worker and the helpers of the benchmarks call these.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

#: Read by OpenMP and ggml when the library is loaded, so they cannot be set later.
#: Threads that meet after every operation look for each other some microseconds, then sleep. Always
#: sleeping makes two threads three times slower where nothing else runs (135M, a token: 28 ms, 10 so);
#: looking for as long as libgomp does by itself makes them twice as slow where something else runs
#: (64 tokens: 186 ms, 193 so, 445). ggml's own backtrace runs gdb.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "300", "GGML_NO_BACKTRACE": "1"}

#: Levels of llama.cpp's log that are written down (3 warning, 4 error in ggml_log_level).
_LOG_LEVELS = (3, 4)


def child_environment() -> dict[str, str]:
    """Environment of a child process that runs a module of this package.

    Children are started with ``-P``, so that a folder named llmos in the working directory is
    never taken for this package; the path of this one is given instead.
    """
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    return {**ENVIRONMENT, **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def prepare_environment() -> None:
    """Set what the native library reads when it loads, unless the user has set it."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@functools.cache
def native() -> Any:
    """The module ``llama_cpp.llama_cpp`` with the backend initialised and its log on stderr.

    The package's own ``__init__`` imports the high-level class and everything behind it; only
    the low-level bindings are needed here, so the package is entered without running it.

    Raises:
        ImportError: llama-cpp-python is not installed.
    """
    prepare_environment()
    if "llama_cpp" not in sys.modules:
        found = importlib.util.find_spec("llama_cpp")
        if found is None or found.submodule_search_locations is None:
            raise ImportError("llama-cpp-python is not installed; run make setup.")
        package = types.ModuleType("llama_cpp")
        package.__path__ = list(found.submodule_search_locations)
        package.__spec__ = found
        sys.modules["llama_cpp"] = package
    module = importlib.import_module("llama_cpp.llama_cpp")
    _quiet_log(module)
    module.llama_backend_init()
    return module


def _quiet_log(module: Any) -> None:
    """Keep warnings and errors of the library, on stderr (the worker's log file)."""

    @module.llama_log_callback  # type: ignore[untyped-decorator]
    def write(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        if level in _LOG_LEVELS and text:
            sys.stderr.write(text.decode("utf-8", "replace"))
            sys.stderr.flush()

    module.llmos_log_callback = write  # keeps the callback alive for the life of the process
    module.llama_log_set(write, ctypes.c_void_p(0))
