"""Files are old or new, never half; hashes are SHA-256; one process at a time."""

import errno
import hashlib
import multiprocessing
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from densnet import files
from densnet.errors import DensnetError


class Busy(DensnetError):
    pass


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "a[1].txt"
    with files.replacing(path) as file:
        file.write("first")
        file.flush()
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), files.replacing(path) as file:
        file.write("second")
        1 / 0  # noqa: B018 (raises)
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["a[1].txt"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_file_and_folder_are_synced_in_that_order(tmp_path, monkeypatch):
    synced, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda d: synced.append(stat.S_ISDIR(os.fstat(d).st_mode)) or sync(d))
    monkeypatch.setattr(os, "replace", lambda *paths: synced.append("renamed") or replace(*paths))
    files.write_text(tmp_path / "a", "x")
    assert synced == [False, "renamed", True]


def test_a_draft_that_a_kill_has_left_is_removed_an_hour_later_and_not_before(tmp_path):
    left, fresh, other = (tmp_path / f".{name}.part" for name in ("a.json.0123", "a.json.4567", "b.json.0123"))
    for path in (left, fresh, other):
        path.write_text("half")
    for path in (left, other):
        os.utime(path, (time.time() - 4000,) * 2)
    files.write_json(tmp_path / "a.json", {})
    assert (left.exists(), fresh.exists(), other.exists()) == (False, True, True)


def test_errors_name_the_file_and_not_its_draft(tmp_path):
    with pytest.raises(FileNotFoundError) as told:
        files.write_text(tmp_path / "nowhere" / "a.txt", "x")
    assert told.value.filename == str(tmp_path / "nowhere" / "a.txt") and told.value.errno == errno.ENOENT


def test_json_goes_and_comes_and_what_is_no_number_is_null(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": [1.0, float("nan")], "b": {"c": float("inf"), "d": (True, None, 3)}})
    assert files.read_json(tmp_path / "a.json") == {"a": [1.0, None], "b": {"c": None, "d": [True, None, 3]}}
    (tmp_path / "a.json").write_text('{"a": [1.0,')
    with pytest.raises(files.FileError, match="a.json is damaged"):
        files.read_json(tmp_path / "a.json")


def test_hashes_are_those_of_the_parts_in_a_row(tmp_path):
    (tmp_path / "a").write_bytes(b"density")
    assert files.sha256("dens", b"ity") == files.content_hash(tmp_path / "a") == hashlib.sha256(b"density").hexdigest()
    assert files.sha256_of(part for part in ("dens", "ity")) == files.sha256("density")


def _hold(path: Path, held, release) -> None:
    with files.locked(path, Busy("mine")):
        held.set()
        release.wait(60)


def test_a_lock_goes_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "lock", held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(Busy, match="the other's"), files.locked(tmp_path / "lock", Busy("the other's")):
            pass
    finally:
        other.kill()
        other.join()
    with files.locked(tmp_path / "lock", Busy("free by now")):
        pass


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    """By the limit on the size of a file, since a disk to fill is not at hand."""
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom densnet.files import write_text\n"
        "from densnet.cli.main import explain\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_text(Path(sys.argv[1]), 10**5 * 'x')\n"
        "except OSError as error: print(explain(error))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "big.txt"], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{tmp_path / 'big.txt'}: File too large.\n" and os.listdir(tmp_path) == [], done.stderr
