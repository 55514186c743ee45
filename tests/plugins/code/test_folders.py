"""A session's folder: what it holds is counted, and it is removed whatever is in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from llmos_code.folders import over_limit, remove
from llmos_code.limits import Limits, Tier

NOBODY = 0  # no process of that number has files open


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "session"
    made.mkdir()
    return made


def test_sizes_are_counted_without_following_links(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 5_000_000)
    (folder / "link").symlink_to(tmp_path / "large")
    (folder / "links").symlink_to(tmp_path)
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_bytes(b"x" * 1_500_000)
    assert over_limit(folder, NOBODY, 2) == ""
    assert "over 1 MB" in over_limit(folder, NOBODY, 1)


def test_many_files(folder: Path) -> None:
    for number in range(120):
        (folder / f"sub{number}").mkdir()
        for inner in range(90):
            (folder / f"sub{number}" / str(inner)).touch()
    assert "more than" in over_limit(folder, NOBODY, 100)


def _nest(folder: Path, depth: int) -> None:
    """Folders in one another, deeper than any path may be long, with a file at the end."""
    name = "d" * 100
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("deep", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_what_is_too_deep_to_be_seen_is_not_overlooked(folder: Path) -> None:
    _nest(folder, 60)
    assert "looked through" in over_limit(folder, NOBODY, 100)


def test_a_folder_of_any_depth_is_removed(folder: Path) -> None:
    _nest(folder, 1500)
    (folder / "wide").mkdir()
    for number in range(50):
        (folder / "wide" / f"f{number}").touch()
        (folder / f"sub{number}" / "more").mkdir(parents=True)
    remove(folder)
    assert not folder.exists()


def test_closed_folders_and_links_are_removed_and_what_they_point_to_stays(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "mine"
    target.write_text("mine")
    target.chmod(0o640)
    outer = tmp_path / "outer"
    outer.mkdir(mode=0o750)
    closed = folder / "closed"
    closed.mkdir()
    (closed / "link").symlink_to(target)
    (closed / "folder").symlink_to(outer)
    (closed / "sub").mkdir(mode=0o000)
    closed.chmod(0o000)
    folder.chmod(0o500)
    remove(folder)
    assert not folder.exists()
    assert target.read_text() == "mine" and target.stat().st_mode & 0o777 == 0o640
    assert outer.stat().st_mode & 0o777 == 0o750


def test_deleted_files_that_are_open_are_counted(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    with open(tmp_path / "gone", "wb") as file:
        os.unlink(tmp_path / "gone")
        file.write(b"x" * 3_000_000)
        file.flush()
        assert "over 2 MB" in over_limit(tmp_path, os.getpid(), 2)


def test_hiding_files_ends_the_session(tier: Tier, outside: object, tmp_path: Path) -> None:
    """Deleted but open files, in every tier: they count, or they are not to be had."""
    session = tier.open(Limits(seconds=6.0, disk_mb=8, file_mb=4), tmp_path)
    code = (
        "import os, time\nfiles = []\n"
        "for n in range(30):\n"
        "    f = open('f', 'wb')\n    files.append(f)\n    f.write(b'x' * 3000000)\n    f.flush()\n"
        "    os.unlink('f')\n    time.sleep(0.05)\n"
    )
    result = session.run(code, seconds=6.0)
    session.close()
    assert result.error
