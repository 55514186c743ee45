"""What code can do inside: in every tier that keeps variables, streams, stops and reads files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llmos_code.limits import Limits, RunResult, Session, Tier

Run = Callable[..., RunResult]


@pytest.fixture
def session(tier: Tier, outside: object, tmp_path: Path) -> Iterator[Session]:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    opened = tier.open(Limits(seconds=5.0), tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def run(session: Session) -> Run:
    def call(code: str, **options: object) -> RunResult:
        return session.run(code, **{"seconds": 5.0, **options})  # type: ignore[arg-type]

    return call


def test_variables_stay(run: Run) -> None:
    assert run("x = 6 * 7").value == ""
    assert run("def double(n):\n    return 2 * n").ok
    result = run("double(x)")
    assert (result.value, result.error) == ("84", "")


def test_an_error_is_told_and_the_session_goes_on(run: Run) -> None:
    run("x = 1")
    result = run("y = 5\nx / 0")
    assert not result.ok and not result.lost
    assert "ZeroDivisionError" in result.error and "line 2" in result.error
    assert run("x + y").value == "6"


def test_a_syntax_error_is_told(run: Run) -> None:
    result = run("def broken(:\n    pass")
    assert not result.ok and not result.lost


def test_output_comes_while_it_runs(run: Run) -> None:
    seen: list[tuple[float, str]] = []
    started = time.monotonic()
    result = run(
        "import time\nfor n in range(3):\n    print('step', n)\n    time.sleep(0.2)",
        progress=lambda text: seen.append((time.monotonic() - started, text)),
    )
    assert result.output == "step 0\nstep 1\nstep 2\n"
    assert "".join(text for _, text in seen) == result.output
    assert seen[0][0] < result.seconds - 0.3


def test_cancel(run: Run) -> None:
    started = time.monotonic()
    result = run("while True: pass", cancelled=lambda: time.monotonic() - started > 0.3)
    assert "Stopped by the user" in result.error
    assert result.seconds < 3


def test_too_much_output_is_cut(run: Run) -> None:
    result = run("for _ in range(4000): print('y' * 1000)", seconds=5.0)
    assert len(result.output) <= Limits().output_chars


def test_a_table(run: Run) -> None:
    result = run("[{'name': 'a', 'size': 1}, {'name': 'b', 'size': 2}]")
    assert result.tables == [{"columns": ["name", "size"], "rows": [["a", 1], ["b", 2]]}]


def test_handed_files_are_read(run: Run) -> None:
    assert run("open('files/table.csv').read()").value == repr("a,b\n1,2\n3,4\n")


def test_own_folder_is_kept_between_runs(run: Run) -> None:
    assert run("with open('note.txt', 'w') as f: f.write('kept')").ok
    assert run("open('note.txt').read()").value == "'kept'"


def test_after_the_end_of_a_session_it_says_so(run: Run, session: Session) -> None:
    session.close()
    result = run("1")
    assert result.lost and not result.ok and not session.alive


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_comes_back_as_it_was(run: Run, text: str) -> None:
    result = run(f"print({text!r}, end='')")
    assert result.error == ""
    assert result.output == text


@pytest.fixture
def real(tier: Tier) -> Tier:
    """A tier that runs the real Python: Monty has no packages, threads or native code."""
    if tier.name == "monty":
        pytest.skip("not for Monty")
    return tier


def test_packages_and_images(real: Tier, run: Run) -> None:
    code = "import zlib, struct\n" + (
        "def chunk(kind, data):\n"
        "    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))\n"
        "class Picture:\n"
        "    def _repr_png_(self):\n"
        "        head = struct.pack('>IIBBBBB', 2, 1, 8, 0, 0, 0, 0)\n"
        "        body = zlib.compress(b'\\0\\xff\\0')\n"
        "        return (b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', head) + chunk(b'IDAT', body)\n"
        "                + chunk(b'IEND', b''))\n"
        "Picture()"
    )
    result = run(code)
    assert result.error == ""
    assert [image[:8] for image in result.images] == [b"\x89PNG\r\n\x1a\n"]
    assert run("import numpy\nint(numpy.arange(10).sum())").value == "45"


def test_asyncio_and_threads_work(real: Tier, run: Run) -> None:
    code = (
        "import asyncio, threading\nfound = []\n"
        "thread = threading.Thread(target=found.append, args=(1,))\nthread.start()\nthread.join()\n"
        "async def main():\n    await asyncio.sleep(0.01)\n    return len(found)\nasyncio.run(main())"
    )
    assert run(code).value == "1"


def test_an_interrupted_run_keeps_its_variables(real: Tier, run: Run) -> None:
    run("kept = 'still here'")
    result = run("while True: pass", seconds=0.3)
    assert "longer than 0.3 seconds" in result.error and not result.lost
    assert run("kept").value == "'still here'"


def test_native_output_is_shown(real: Tier, run: Run) -> None:
    result = run("import os, time\nos.write(1, b'from native code\\n')\ntime.sleep(0.1)")
    assert "from native code" in result.output


def test_a_forged_end_does_not_shift_later_answers(real: Tier, run: Run) -> None:
    run("import __main__, threading, time")
    run(
        "def later():\n    time.sleep(0.1)\n    __main__._send(b'v', b'forged')\n"
        "threading.Thread(target=later).start()"
    )
    time.sleep(0.3)
    assert run("1 + 1").value == "2"


def test_nothing_is_left_behind(real: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    handed = tmp_path / "files"
    place.mkdir()
    handed.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    opened = real.open(Limits(), handed)
    opened.run("import os\nos.mkdir('locked')\nopen('locked/file', 'w').close()", seconds=5)
    opened.close()
    assert [path for path in place.iterdir() if path.name.startswith("llmos-code-")] == []
    me = psutil.Process()
    assert [child for child in me.children(recursive=True) if "guest.pyc" in " ".join(child.cmdline())] == []


def test_the_sandbox_dies_with_the_program(real: Tier, tmp_path: Path) -> None:
    program = (
        "import sys, threading\nfrom pathlib import Path\n"
        "from llmos_code.limits import Limits\nfrom llmos_code.tiers import TIERS\n"
        f"tier = next(t for t in TIERS if t.name == {real.name!r})\n"
        f"session = tier.open(Limits(seconds=60), Path({str(tmp_path)!r}))\n"
        "threading.Timer(0.3, lambda: print('running', flush=True)).start()\n"
        "session.run('import time\\nwhile True: time.sleep(1)', seconds=60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=dict(os.environ))
    assert process.stdout is not None and process.stdout.readline() == b"running\n"
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    process.kill()
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert alive == []


def test_a_session_outlives_the_thread_that_opened_it(real: Tier, tmp_path: Path) -> None:
    import threading

    found: list[Session] = []
    thread = threading.Thread(target=lambda: found.append(real.open(Limits(), tmp_path)))
    thread.start()
    thread.join()
    time.sleep(0.1)
    try:
        assert found[0].run("2 + 3", seconds=5).value == "5"
    finally:
        found[0].close()


def test_values_that_cannot_be_written_are_told(run: Run) -> None:
    result = run("7 ** 20000")
    assert "ValueError" in result.error or len(result.value) > 4000
    nested = run("x = []\nfor _ in range(100000): x = [x]\nx")
    assert nested.error or nested.value.startswith("[[")
    assert run("1 + 1").value == "2" or nested.lost


def test_interrupts_do_not_tear_messages(real: Tier, run: Run) -> None:
    run("kept = 1")
    for _ in range(8):
        result = run("while True: print('x' * 3000)", seconds=0.12)
        assert "longer than" in result.error and not result.lost, result.error
    assert run("kept").value == "1"


def test_a_run_that_nobody_waits_for_ends_the_session(real: Tier, run: Run, session: Session) -> None:
    class Abandoned(BaseException):
        pass

    def progress(text: str) -> None:
        raise Abandoned

    with pytest.raises(Abandoned):
        run("print('x', flush=True)\nimport time\ntime.sleep(1)\nprint('late')", progress=progress)
    assert not session.alive
