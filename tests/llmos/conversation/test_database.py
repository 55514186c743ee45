from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from llmos.conversation import database, schema
from llmos.conversation.database import StoreError
from llmos.conversation.store import Store
from llmos.types import Message


def filled(path: Path, messages: int = 50) -> str:
    """A store with one chat; returns its id."""
    store = Store(path)
    chat = store.create_chat("kept")
    parent = None
    for number in range(messages):
        message = Message("user", f"text {number} " + "x" * 200, chat_id=chat.id, parent_id=parent)
        store.add_message(message)
        parent = message.id
    store.close()
    return chat.id


def spoil_random(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def spoil_header(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[:16] = b"not a database!!"
    path.write_bytes(bytes(data))


def spoil_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def spoil_first_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:4_000] = b"\xff" * 3_900
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("spoil", [spoil_random, spoil_header, spoil_truncated, spoil_first_page])
def test_a_damaged_store_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "chats.db"
    filled(path)
    spoil(path)
    damaged = path.read_bytes()
    store = Store(path)
    assert len(store.notices) == 1
    assert "damaged" in store.notices[0]
    assert "\n" not in store.notices[0]
    aside = list(tmp_path.glob("chats.db.damaged-*"))
    assert [one.read_bytes() for one in aside] == [damaged]
    chat = store.create_chat("after")
    store.close()
    again = Store(path)
    assert again.notices == []
    assert chat.id in [one.id for one in again.list_chats()]


def test_what_can_be_read_of_a_damaged_store_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    chat_id = filled(path, 400)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4 * 4096] = b"\xff" * (4 * 4096)
    path.write_bytes(bytes(data))
    path.with_name(path.name + "-wal").write_bytes(b"\0" * 32)  # not closed cleanly: it is checked
    store = Store(path)
    assert "1 chat with " in store.notices[0] and "could be read and copied" in store.notices[0]
    found = store.branch(chat_id)
    assert len(found) > 200
    numbers = [int(one.content.split()[1]) for one in found]
    assert numbers == sorted(numbers)
    assert store.search("text")


def test_damage_found_later_is_told_and_the_program_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    chat_id = filled(path, 400)
    store = Store(path)
    assert store.notices == []
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 3))
    with pytest.raises(StoreError, match="set aside"):
        store.branch(chat_id)
        store.database.execute("SELECT sum(length(content)) FROM messages")
    store.create_chat("after")
    assert "after" in [one.title for one in store.list_chats()]
    assert len(store.notices) == 1


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    path.write_bytes(b"")
    store = Store(path)
    assert store.notices == []
    store.create_chat()
    assert store.count_chats() == 1


def test_a_locked_store_is_told_and_chats_go_on_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    path = tmp_path / "chats.db"
    filled(path)
    other = sqlite3.connect(path)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    store = Store(path)
    assert "another program holds it locked" in store.notices[0]
    assert "in memory only" in store.notices[0]
    store.create_chat("still works")
    assert "still works" in [one.title for one in store.list_chats()]
    other.close()
    assert [one.title for one in Store(path).list_chats()] == ["kept"]


def test_a_lock_that_comes_later_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    store = Store(tmp_path / "chats.db")
    other = sqlite3.connect(tmp_path / "chats.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"holds it locked.*close the other program and try again"):
        store.create_chat("no")
    other.execute("ROLLBACK")
    store.create_chat("yes")
    assert [one.title for one in store.list_chats()] == ["yes"]


def test_a_full_disk_is_one_sentence_and_nothing_is_half_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "chats.db")
    chat = store.create_chat()
    pages = store.database.execute("PRAGMA page_count")[0][0]
    store.database.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"the disk is full.*free some space"):
        store.add_message(Message("user", "x" * 100_000, chat_id=chat.id))
    assert store.branch(chat.id) == []
    store.database.execute("PRAGMA max_page_count = 100000")
    store.add_message(Message("user", "fits now", chat_id=chat.id))
    assert len(store.branch(chat.id)) == 1


def test_a_read_only_store_is_read_and_told() -> None:
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: others must be able to enter it
        folder = Path(name)
        filled(folder / "chats.db", 3)
        code = f"""
            import os, sys
            sys.path[:0] = {sys.path!r}
            from pathlib import Path
            import sqlite_utils
            from llmos.conversation.store import Store
            if os.geteuid() == 0:  # permissions do not bind root
                os.setgid(65534)
                os.setuid(65534)
            store = Store(Path({name!r}) / "chats.db")
            print(store.notices[0])
            print([one.title for one in store.list_chats()])
            store.create_chat("new")
            print(store.count_chats())
        """
        for one in folder.iterdir():
            one.chmod(0o444)
        folder.chmod(0o555)
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    notice, titles, count = done.stdout.splitlines()
    assert "in memory only" in notice
    assert titles == "['kept']"
    assert count == "2"


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.VERSIONS) + 1}")
    connection.close()
    store = Store(path)
    assert "a later version of the program wrote it" in store.notices[0]
    store.create_chat()
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT title FROM chats").fetchall() == [("kept",)]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "chats.db")
    assert "in memory only" in store.notices[0]
    store.create_chat("x")
    assert store.count_chats() == 1


def test_two_instances_write_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    code = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from llmos.conversation.store import Store
        from llmos.types import Message
        store = Store(Path({str(path)!r}))
        assert store.notices == [], store.notices
        chat = store.create_chat(sys.argv[1])
        parent = None
        for number in range(60):
            message = Message("user", str(number), chat_id=chat.id, parent_id=parent)
            store.add_message(message)
            parent = message.id
        store.close()
    """
    running = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), name], stderr=subprocess.PIPE)
        for name in ("one", "two")
    ]
    for one in running:
        _, errors = one.communicate(timeout=60)
        assert one.returncode == 0, errors
    store = Store(path)
    assert sorted(one.title for one in store.list_chats()) == ["one", "two"]
    for chat in store.list_chats():
        assert [m.content for m in store.branch(chat.id)] == [str(n) for n in range(60)]


def test_what_is_written_is_on_disk_in_full(tmp_path: Path) -> None:
    store = Store(tmp_path / "chats.db")
    assert store.database.execute("PRAGMA journal_mode")[0][0] == "wal"
    assert store.database.execute("PRAGMA synchronous")[0][0] == 2
