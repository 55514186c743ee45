"""Where this Python's interpreter, standard library and packages lie: what a sandbox must see."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Paths on this machine.

    Attributes:
        executable: the real interpreter behind any virtual environment.
        library: folder that holds the standard library (``lib/python3.x``) and, for a
            self-contained build, the shared libraries beside it.
        whole: ``library`` is the build's whole ``lib`` folder, not the system's.
        packages: folders of installed packages.
        system: system library folders.
    """

    executable: Path
    library: Path
    whole: bool
    packages: tuple[Path, ...]
    system: tuple[Path, ...]


@cache
def interpreter() -> Interpreter:
    """This Python's paths."""
    executable = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix})).resolve()
    whole = Path(sys.base_prefix).resolve() not in (Path("/usr"), Path("/usr/local"), Path("/"))
    packages = []
    for kind in ("purelib", "platlib"):
        folder = Path(sysconfig.get_path(kind)).resolve()
        if folder.is_dir() and folder not in packages:
            packages.append(folder)
    names = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/nix/store", "/usr/local/lib")
    system = tuple(Path(name) for name in names if os.path.isdir(name))
    return Interpreter(executable, stdlib.parent if whole else stdlib, whole, tuple(packages), system)


def environment(home: str) -> dict[str, str]:
    """The sandbox's whole environment: nothing of the user's own is handed on."""
    return {
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "PATH": "/nonexistent",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": home,
        "MALLOC_ARENA_MAX": "2",  # else each thread reserves 128 MB of address space
        "OPENBLAS_NUM_THREADS": "1",  # each thread reserves address space
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
