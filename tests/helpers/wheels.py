"""Small wheels made on the spot, and an environment of their own to install them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: dict[str, str],
    entry: str = "",
    requires: Sequence[str] = (),
) -> Path:
    """A pure wheel.

    Args:
        folder: where it is written; made if need be.
        name: distribution name.
        version: its version.
        files: path in the wheel to text.
        entry: a line of the entry-point group ``llmos``, or empty.
        requires: requirements.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    info = f"{stem}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    content = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry:
        content[f"{info}/entry_points.txt"] = f"[llmos]\n{entry}\n"
    content[f"{info}/RECORD"] = "".join(f"{one},,\n" for one in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in content.items():
            archive.writestr(inner, text)
    return path


def plugin_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    manifest: str = "",
    code: str = "",
) -> Path:
    """A plugin with one tool ``NAME_tool`` that says its version."""
    manifest = manifest or (
        f'name = "{name}"\nsummary = "Says its version."\nhooks = ["llmos_tools", "llmos_commands"]\n'
        f'[[commands]]\nname = "{name}"\nhelp = "Says its version."\n'
    )
    code = code or (
        "from llmos.plugins import Command, Tool, hookimpl\n"
        f'def {name}_tool() -> str:\n    """Says its version."""\n    return "{version}"\n'
        f"@hookimpl\ndef llmos_tools(host):\n    return [Tool({name}_tool)]\n"
        "@hookimpl\ndef llmos_commands(host):\n"
        f'    return [Command("{name}", lambda context: "version {version}", "Says its version.")]\n'
    )
    module = f"llmos_{name}"
    files = {f"{module}/__init__.py": "", f"{module}/llmos-plugin.toml": manifest, f"{module}/plugin.py": code}
    return make_wheel(
        folder, f"llmos-{name}", version, files=files, entry=f"{name} = {module}.plugin", requires=requires
    )


class Ran(NamedTuple):
    """What a command line gave."""

    code: int
    out: str
    err: str


_DRIVER = """
import contextlib, io, json, sys
from llmos.cli.main import cli, run
results = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(cli, arguments)
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


class Environment:
    """A virtual environment that sees this one's packages and can be installed into."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.site = next((folder / "lib").glob("python*")) / "site-packages"
        (self.site / "base.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT}\n")

    def llmos(self, *commands: Sequence[str], home: Path) -> list[Ran]:
        """Run command lines one after the other, in one process of the environment, offline."""
        done = subprocess.run(
            [str(self.python), "-c", _DRIVER, json.dumps([list(map(str, one)) for one in commands])],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LLMOS_HOME": str(home), "LLMOS_OFFLINE": "1"},
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [Ran(*one) for one in json.loads(done.stdout.splitlines()[-1])]

    def state(self) -> dict[str, int]:
        """Every file in its packages, with its size, compiled ones left out."""
        return {
            str(path.relative_to(self.site)): path.stat().st_size
            for path in sorted(self.site.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
