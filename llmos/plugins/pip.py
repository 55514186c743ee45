"""Running pip in the program's own environment."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from llmos.types import UserError

_TIMEOUT = 900.0


def pip_command() -> list[str]:
    """How pip is called here; ``uv pip`` where the environment has none.

    Raises:
        UserError: neither is there.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip"]
    raise UserError(f"pip is missing in {sys.prefix}; run `{sys.executable} -m ensurepip` and try again.")


def run_pip(*arguments: str) -> str:
    """Run pip and give back what it printed.

    Raises:
        UserError: it failed; the sentence holds the line that says why.
    """
    base = pip_command()
    command = [*base, *arguments]
    if base[-2:] == [base[0], "pip"] and arguments[0] in ("install", "uninstall"):
        command += ["--python", sys.executable]
    else:
        command += ["--disable-pip-version-check", "--no-input"]
    environment = {**os.environ, "PYTHONNOUSERSITE": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"pip {arguments[0]} took longer than {_TIMEOUT:g} s and was ended.") from error
    except OSError as error:
        raise UserError(f"pip cannot be run: {error}.") from error
    if done.returncode != 0:
        raise UserError(f"pip {arguments[0]} failed: {_reason(done.stdout, done.stderr)}")
    return done.stdout


def _reason(out: str, err: str) -> str:
    """The line of pip's output that says what went wrong."""
    lines = [line.strip() for line in (err + "\n" + out).splitlines() if line.strip()]
    clash = [line for line in lines if " depends on " in line or "(constraint)" in line]
    if clash:
        return f"versions clash: {'; '.join(clash[:3])}."
    errors = [line for line in lines if re.match(r"(?i)error\b|×|.*error:", line)]
    text = (errors or lines or ["it gave no reason"])[0]
    return re.sub(r"(?i)^error:\s*", "", text)[:300] + ("" if text.endswith(".") else ".")


def planned(*arguments: str) -> list[str]:
    """Names that ``pip install`` would install; it resolves everything and changes nothing.

    Raises:
        UserError: it cannot be installed.
    """
    if pip_command()[1] == "pip":  # uv has no report
        return []
    with tempfile.TemporaryDirectory(prefix="llmos-plan-") as work:
        report = Path(work) / "report.json"
        run_pip(*arguments, "--dry-run", "--report", str(report))
        try:
            plan = json.loads(report.read_text(encoding="utf-8"))
            return [normal(str(one["metadata"]["name"])) for one in plan["install"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []


def installed() -> dict[str, str]:
    """Every installed distribution by its normal name, with its version."""
    importlib.invalidate_caches()
    result: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            result.setdefault(normal(name), distribution.version)
    return result


def normal(name: str) -> str:
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def refresh_path() -> None:
    """Take in what a new ``.pth`` file adds (editable installs), so that no restart is needed."""
    importlib.invalidate_caches()
    for folder in {*site.getsitepackages(), str(Path(sys.prefix) / "lib")}:
        for file in Path(folder).glob("*.pth"):
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError):
                continue
            for line in lines:
                path = line.strip()
                if (
                    path
                    and not path.startswith(("#", "import "))
                    and os.path.isdir(path)
                    and path not in sys.path
                ):
                    sys.path.append(path)
    importlib.invalidate_caches()


def build_options(requires: Sequence[str]) -> list[str]:
    """``--no-build-isolation`` where all that a build needs is here: no network, and five times faster."""
    return ["--no-build-isolation"] if satisfied(requires, installed()) else []


def satisfied(requires: Sequence[str], here: Mapping[str, str]) -> bool:
    """Whether installed distributions meet every requirement."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return False
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = here.get(normal(requirement.name))
        if requirement.extras or requirement.url or version is None:
            return False
        if not requirement.specifier.contains(version, prereleases=True):
            return False
    return True
