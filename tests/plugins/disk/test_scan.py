"""What a scan sees, what it leaves out, and why."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from llmos_disk.scan import Found, Limits, scan


def names(found: Found, root: Path) -> set[str]:
    return {os.fsdecode(os.path.relpath(seen.path, os.fsencode(root))) for seen in found.files}


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")


def look(root: Path, **limits: object) -> Found:
    return scan(os.fsencode(root), Limits(**limits))  # type: ignore[arg-type]


def test_gitignore_is_respected_and_the_deeper_one_wins(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.log", "build/c.md", "sub/d.log", "sub/keep.log", "sub/deep/e.tmp")
    (tmp_path / ".gitignore").write_text("*.log\nbuild/\n# a comment\n[bad\n")
    (tmp_path / "sub/.gitignore").write_text("!keep.log\n*.tmp\n")
    assert names(look(tmp_path), tmp_path) == {"a.md", "sub/keep.log"}


def test_hidden_and_made_folders_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, ".env", ".git/config", "node_modules/x/y.js", "a.md")
    found = look(tmp_path)
    assert names(found, tmp_path) == {"a.md"} and found.ignored == 3
    assert ".env" in names(look(tmp_path, hidden=True), tmp_path)


def test_links_are_never_followed(tmp_path: Path) -> None:
    write(tmp_path, "real/a.md")
    (tmp_path / "real/loop").symlink_to(tmp_path)
    (tmp_path / "real/file").symlink_to("/etc/passwd")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert names(look(tmp_path), tmp_path) == {"real/a.md"}


def test_pipes_sockets_and_devices_are_skipped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # the whole path may be longer than a socket's name can be
        listener.bind("socket.md")
        found = look(tmp_path)
    reasons = {os.path.basename(seen.path): reason for seen, reason in found.skipped}
    assert reasons == {
        b"pipe.md": "is no regular file but a pipe",
        b"socket.md": "is no regular file but a socket",
    }
    assert "device" in scan(b"/dev/null", Limits()).skipped[0][1]


def test_large_files_are_skipped_unread(tmp_path: Path) -> None:
    with (tmp_path / "big.txt").open("wb") as stream:
        stream.truncate(2 * 1024**3)  # sparse: two gigabytes that take no room
    found = look(tmp_path)
    assert not found.files and "larger (2,147 MB) than the limit of 50 MB" in found.skipped[0][1]


def test_deep_folders_end_the_walk(tmp_path: Path) -> None:
    folder = tmp_path
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(300):  # deeper than any path may be long
        os.mkdir("d" * 20, dir_fd=descriptor)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    found = look(tmp_path)
    assert "deeper than 40 folders" in found.skipped[0][1]
    assert "(File name too long)" in look(tmp_path, max_depth=1_000).skipped[0][1]


def test_odd_names_are_found(tmp_path: Path) -> None:
    odd = [b"new\nline.md", b"bad\xff\xfe.md", b"esc\x1b[31m.md", "Gr\u00fc\u00dfe \U0001f600.md".encode()]
    for name in odd:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as stream:
            stream.write(b"x")
    (tmp_path / ".gitignore").write_text("*.log\n")
    assert {os.path.basename(seen.path) for seen in look(tmp_path).files} == set(odd)


def test_most_files(tmp_path: Path) -> None:
    write(tmp_path, *(f"{number}.md" for number in range(20)))
    found = look(tmp_path, max_files=5)
    assert len(found.files) == 5 and found.unsure and "more than 5 files" in found.skipped[-1][1]


def test_a_folder_that_was_added_by_itself_is_left_to_itself(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "inner/b.md")
    found = scan(os.fsencode(tmp_path), Limits(), elsewhere={os.fsencode(tmp_path / "inner")})
    assert names(found, tmp_path) == {"a.md"}


def test_a_missing_root_is_an_error_and_a_single_file_is_fine(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "gone")
    write(tmp_path, "a.md")
    assert len(look(tmp_path / "a.md").files) == 1
