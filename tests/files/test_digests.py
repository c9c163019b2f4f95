import hashlib
import json
import os
import time

import pytest

from sdxl_lab.files import digests


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Keep the memory of digests inside the test's folder."""
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def settle(path):
    """Let time pass as far as digests can see."""
    time.sleep(digests._SETTLED_S + 0.1)
    return path


def test_a_folders_digest_is_that_of_its_listing(tmp_path):
    """
    The digest is the SHA-256 of the sorted names and contents, hidden files left out and links followed.
    """
    folder = tmp_path / "d"
    (folder / "b").mkdir(parents=True)
    (folder / "b/two").write_bytes(b"2")
    (folder / "a").write_bytes(b"1")
    (folder / ".git").mkdir()
    (folder / ".git/head").write_bytes(b"x")
    (tmp_path / "blob").write_bytes(b"3")
    (folder / "c").symlink_to(tmp_path / "blob")
    (folder / "b/up").symlink_to(folder)
    contents = {"a": b"1", "b/two": b"2", "c": b"3"}
    listing = json.dumps([[name, hashlib.sha256(content).hexdigest()] for name, content in contents.items()])
    expected = hashlib.sha256(listing.encode()).hexdigest()
    assert digests.digest_of(folder) == expected
    assert digests.digest_of([folder / name for name in ("c", "a", "b/two")], root=folder) == expected


def test_a_remembered_digest_is_not_computed_again(tmp_path, cache):
    """
    A settled large file is read once; a new size or time makes it read again, even when its old time is put back.
    """
    path = tmp_path / "weights"
    path.write_bytes(bytes(digests.REMEMBERED_FROM_BYTES))
    assert digests.digest_of_file(settle(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
    (memory,) = (cache / "digests").iterdir()
    memory.write_text(json.dumps({**json.loads(memory.read_text()), "sha256": "remembered"}))
    assert digests.digest_of_file(path) == "remembered"
    before = path.stat()
    path.write_bytes(b"1" * digests.REMEMBERED_FROM_BYTES)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.digest_of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("broken", ["", "[]", "{}", "null"])
def test_a_broken_memory_is_ignored(tmp_path, cache, broken):
    """
    A memory that can't be read costs a computation, and changes no digest.
    """
    path = tmp_path / "weights"
    path.write_bytes(bytes(digests.REMEMBERED_FROM_BYTES))
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    (cache / "digests").mkdir(parents=True)
    (cache / "digests" / f"{name}.json").write_text(broken)
    assert digests.digest_of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_cache_folder_that_cannot_be_written_is_no_fault(tmp_path, cache):
    """
    Where nothing can be remembered, digests are computed each time.
    """
    cache.write_text("a file in the folder's place")
    path = tmp_path / "weights"
    path.write_bytes(bytes(digests.REMEMBERED_FROM_BYTES))
    assert digests.digest_of_file(settle(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_read_once_in_a_process_as_long_as_it_is_the_same(tmp_path):
    """
    A file that was written to, touched or replaced, also by one of the same size and time, is read again; any other is not.
    """
    file, other, read = tmp_path / "f", tmp_path / "g", []
    text_of = digests.once_a_file(lambda path: read.append(path) or path.read_text())
    file.write_text("one")
    assert [text_of(file), text_of(file)] == ["one", "one"]
    assert read == [file]
    other.write_text("two")
    os.utime(other, ns=(0, file.stat().st_mtime_ns))
    other.replace(file)
    assert text_of(file) == "two"
    file.write_text("three")
    assert text_of(file) == "three"
    os.utime(file, ns=(0, 0))
    assert text_of(file) == "three"
    assert len(read) == 4


def test_what_others_write_is_read_again_as_long_as_its_time_may_stand_still(tmp_path):
    """
    What was read of files is remembered once all are settled; one changed in place with its time put back, removed or new is seen at once.
    """
    one, two, read = tmp_path / "one", tmp_path / "two", []

    @digests.until_changed(lambda first, second, *, mark: [first, second], most=2)
    def joined(first, second, *, mark):
        read.append(mark)
        return first.read_text() + mark + second.read_text()

    one.write_text("1")
    two.write_text("2")
    assert [joined(one, two, mark="+"), joined(one, two, mark="+")] == ["1+2", "1+2"]
    assert read == ["+", "+"]
    settle(two)
    assert [joined(one, two, mark="+") for _ in range(3)] == ["1+2"] * 3
    assert [joined(one, two, mark="-") for _ in range(3)] == ["1-2"] * 3
    assert read == ["+", "+", "+", "-"]
    before = two.stat()
    with two.open("r+") as file:
        file.write("3")
    os.utime(two, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert joined(one, two, mark="+") == "1+3"
    two.unlink()
    with pytest.raises(FileNotFoundError):
        joined(one, two, mark="+")
    two.write_text("4")
    assert joined(one, two, mark="+") == "1+4"
