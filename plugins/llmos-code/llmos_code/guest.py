"""The interpreter inside the sandbox: reads frames, runs code, writes frames.

It is started alone, as ``python -I -S guest.pyc``, and imports nothing of the program. It takes
as little as it can, since its start is part of every first call: no ``json``, ``re``, ``ast`` or
``traceback``. What it sends is read by the host as hostile.

A frame is a kind (one byte), a length (four bytes, big-endian) and that many bytes.
To the guest: ``c`` configuration, ``r`` code to run, both as ``marshal`` (the host is trusted).
From the guest: ``k`` ready, ``o``/``e`` output and errors, ``v`` value, ``t`` table (JSON),
``i`` PNG image, ``x`` the exception, ``d`` done; text is UTF-8.
"""

from __future__ import annotations

import _thread
import io
import marshal
import os
import signal
import sys
import time
from typing import Any

MAX_VALUE = 20_000
MAX_OUTPUT = 400_000
MAX_IMAGES = 4
MAX_ROWS = 200
_ONLY_AST = 0x400  # ast.PyCF_ONLY_AST, without importing ast

_input_fd = 0
_output_fd = 1
_write_lock = _thread.allocate_lock()
_running = False
_main_thread = _thread.get_ident()
_sending = False  # of the main thread, where interrupts arrive
_interrupted = False
_sources: dict[str, list[str]] = {}


def _read_exactly(size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = os.read(_input_fd, size - len(parts))
        if not part:
            os._exit(0)  # the host is gone
        parts += part
    return parts


def _receive() -> tuple[bytes, Any]:
    head = _read_exactly(5)
    return head[:1], marshal.loads(_read_exactly(int.from_bytes(head[1:], "big")))


def _send(kind: bytes, payload: bytes = b"") -> None:
    global _sending, _interrupted
    frame = kind + len(payload).to_bytes(4, "big") + payload
    main = _thread.get_ident() == _main_thread
    if main:
        _sending = True  # an interrupt must not tear a frame in two
    try:
        with _write_lock:
            while frame:
                frame = frame[os.write(_output_fd, frame) :]
    finally:
        if main:
            _sending = False
    if main and _interrupted:
        _interrupted = False
        if _running:
            raise KeyboardInterrupt


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


class _Stream(io.TextIOBase):
    """What ``print`` writes to: gathers text and sends it about twenty times a second."""

    def __init__(self, kind: bytes) -> None:
        self.kind = kind
        self.parts: list[str] = []
        self.size = 0
        self.sent = 0
        self.last = 0.0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.parts.append(text)
        self.size += len(text)
        if self.size > 4096 or time.monotonic() - self.last > 0.05:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if not self.parts:
            return
        text = "".join(self.parts)
        self.parts, self.size, self.last = [], 0, time.monotonic()
        room = MAX_OUTPUT - self.sent
        self.sent += len(text)
        if room > 0:
            _send(self.kind, _encode(text[:room]))
            if len(text) > room:
                _send(b"e", _encode("\n[The output was cut here: it is too long.]\n"))


def _error_text(error: BaseException) -> str:
    """Like a traceback, but only the frames of the code that was handed in."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename in _sources:
            lines.append(f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}')
            source = _sources[code.co_filename]
            if trace.tb_lineno and trace.tb_lineno <= len(source):
                lines.append("    " + source[trace.tb_lineno - 1].strip())
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.lineno:
        lines.append(f'  File "{error.filename}", line {error.lineno}')
        if error.text:
            lines.append("    " + error.text.strip())
    if len(lines) > 24:
        lines = [*lines[:12], "  …", *lines[-12:]]
    head = ["Traceback (most recent call last):"] if lines else []
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except BaseException:
        message = "(its text cannot be made)"
    name = type(error).__name__
    return "\n".join([*head, *lines, f"{name}: {message}" if message else name])


def _table(value: Any) -> tuple[list[str], list[list[Any]]] | None:
    """Columns and rows of a data frame or of a list of records, else None."""
    if hasattr(value, "columns") and hasattr(value, "itertuples"):
        columns = [str(column) for column in value.columns]
        rows = [list(row) for row in value.head(MAX_ROWS).itertuples(index=False)]
        return columns, rows
    if isinstance(value, (list, tuple)) and len(value) > 1:
        if all(isinstance(row, dict) and row for row in value):
            columns = list(dict.fromkeys(str(key) for row in value for key in row))
            return columns, [[row.get(column) for column in columns] for row in value[:MAX_ROWS]]
        widths = {len(row) if isinstance(row, (list, tuple)) else -1 for row in value}
        if len(widths) == 1 and 1 < next(iter(widths)) <= 20:
            columns = [str(number) for number in range(1, len(value[0]) + 1)]
            return columns, [list(row) for row in value[:MAX_ROWS]]
    return None


def _show(value: Any) -> None:
    """Send the value of the last expression: its text, and its table or image where it has one."""
    picture = getattr(value, "_repr_png_", None)
    if callable(picture) and not isinstance(value, type):
        image = picture()
        if isinstance(image, bytes):
            _send(b"i", image)
            return
    if isinstance(value, bytes) and value.startswith(b"\x89PNG\r\n\x1a\n"):
        _send(b"i", value)
        return
    text = repr(value)
    if len(text) > MAX_VALUE:
        text = text[:MAX_VALUE] + " … (cut)"
    _send(b"v", _encode(text))
    table = _table(value)
    if table is not None:
        import json

        columns, rows = table
        plain = [
            [cell if isinstance(cell, (int, float, str, bool, type(None))) else str(cell) for cell in row]
            for row in rows
        ]
        _send(b"t", _encode(json.dumps({"columns": columns, "rows": plain})))


def _send_figures() -> None:
    """Send and close the figures that the code has open in matplotlib."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums()[:MAX_IMAGES]:
        buffer = io.BytesIO()
        pyplot.figure(number).savefig(buffer, format="png", dpi=80)
        _send(b"i", buffer.getvalue())
    pyplot.close("all")


def _execute(source: str, name: str, scope: dict[str, Any]) -> None:
    """Run the statements; when the last is an expression, show its value."""
    import _ast

    _sources[name] = source.splitlines()
    tree: Any = compile(source, name, "exec", _ONLY_AST)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
    if tree.body:
        exec(compile(tree, name, "exec"), scope)
    if last is not None:
        value = eval(compile(_ast.Expression(last.value), name, "eval"), scope)
        if value is not None:
            scope["_"] = value
            _show(value)


def _interrupt(number: int, frame: object) -> None:
    global _interrupted
    if _sending:
        _interrupted = True
    elif _running:
        raise KeyboardInterrupt


def _run(source: str, name: str, scope: dict[str, Any]) -> None:
    global _running, _interrupted
    _interrupted = False
    out, err = _Stream(b"o"), _Stream(b"e")
    sys.stdout, sys.stderr = out, err
    try:
        _running = True
        try:
            _execute(source, name, scope)
            _send_figures()
        finally:
            _running = False
            out.flush()
            err.flush()
    except SystemExit as error:
        if error.code not in (None, 0):
            _send(b"x", _encode(f"SystemExit: {error.code}"))
    except BaseException as error:
        _send(b"x", _encode(_error_text(error)))
    _send(b"d")


def _limit(limits: dict[str, int]) -> None:
    """Lower this process's limits; what the system does not know or refuses is left to the host."""
    import resource

    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):
            if sys.platform == "linux":  # there every one of them works: refuse to run without
                raise


def _own_tasks() -> int:
    """Threads that this user has now, since the kernel counts them all against the limit."""
    count, user = 0, os.getuid()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == user:
                    count += os.stat(f"/proc/{entry}/task").st_nlink - 2
            except OSError:
                continue
    return count


def _confine(rules: list[tuple[str, str]], bpf: bytes) -> None:
    """Landlock, then no capabilities, then the system-call filter; any failure ends the process.

    Args:
        rules: path and ``read``, ``device`` or ``write``.
        bpf: array of ``struct sock_filter``.
    """
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)

    def call(what: str, *arguments: Any) -> int:
        result = int(libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]))
        if result < 0:
            raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
        return result

    create, add, restrict = 444, 445, 446
    version = call("Landlock", create, None, 0, 1)
    if version < 3:
        raise OSError(f"Landlock version {version} is too old; 3 is needed (Linux 6.2)")
    every = (1 << 15) - 1 | (1 << 15 if version >= 5 else 0)
    attributes = struct.pack("=QQQ", every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = call("Landlock", create, attributes[:size], size, 0)
    make_special = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11  # devices, sockets, pipes
    rights = {
        "read": 1 << 2 | 1 << 3,
        "device": 1 << 1 | 1 << 2,
        "write": every & ~(make_special | 1 << 0 | (1 << 15)),
    }
    only_files = 1 << 1 | 1 << 2 | 1 << 14
    for path, kind in rules:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # not there: nothing to allow
        allowed = rights[kind] & every
        if not os.path.isdir(path):
            allowed &= only_files
        call("Landlock", add, ruleset, 1, struct.pack("=Qi", allowed, fd), 0)
        os.close(fd)
    if libc.prctl(1, int(signal.SIGKILL), 0, 0, 0) != 0:  # die with the program
        raise OSError("the signal for the program's end was refused")
    if libc.prctl(38, 1, 0, 0, 0) != 0:
        raise OSError("no_new_privs was refused")
    call("Landlock", restrict, ruleset, 0)
    os.close(ruleset)
    capset = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
    call("capset", capset, struct.pack("=Ii", 0x20080522, 0), b"\0" * 24)
    array = ctypes.create_string_buffer(bpf, len(bpf))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    filters = Program(len(bpf) // 8, ctypes.addressof(array))
    if libc.prctl(22, 2, ctypes.byref(filters), 0, 0) != 0:
        raise OSError("the system-call filter was refused")


def main() -> None:
    """Take the configuration, shut the door, then serve runs until the host hangs up."""
    global _input_fd, _output_fd
    _input_fd, _output_fd = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)  # what native code prints goes with the errors
    signal.signal(signal.SIGINT, _interrupt)
    _, config = _receive()
    os.chdir(config["folder"])
    limits = config["limits"]
    if config["count_tasks"]:
        limits["NPROC"] = limits.get("NPROC", 64) + _own_tasks()
    _limit(limits)
    if config["bpf"]:
        _confine(config["rules"], config["bpf"])
    sys.path[:] = [path for path in sys.path if not path.endswith((".pyc", ".zip"))]
    sys.path = [config["folder"], *sys.path[0:], *config["packages"]]
    sys.stdin = io.StringIO("")
    sys.argv = ["code"]
    scope: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    _send(b"k")
    while True:
        kind, message = _receive()
        if kind == b"r":
            _run(message[0], message[1], scope)


if __name__ == "__main__":
    main()
