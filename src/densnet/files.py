"""Files that a kill leaves old or new, never half of one; JSON, hashes, and one process at a time in a folder."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from densnet.errors import DensnetError

ABANDONED = 3600.0
"""Seconds after which a draft that nobody writes to is one that a kill has left."""


class FileError(DensnetError):
    """A file that cannot be read; the message names it and what is wrong."""


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, which takes its place when the block ends without an error; file and folder are then on disk.

    Its name begins with a dot and is different every time, so that two processes may write the same file.
    """
    path = Path(path)
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > ABANDONED:
                old.unlink()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        publish(part, path)
    except OSError as error:
        if error.filename in (None, str(part)):  # a full disk is told by a file's number alone
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def publish(made: Path, path: Path) -> None:
    """Put a file that is complete in the place of ``path``, in the same file system; both are then on disk."""
    _sync(made)
    os.replace(made, path)
    _sync(Path(path).parent)


@contextmanager
def replacing(path: Path, mode: str = "w", *, encoding: str = "utf-8", errors: str = "strict") -> Iterator[IO]:
    """An open file that becomes ``path`` when the block ends without an error, see `draft`."""
    text = "b" not in mode
    with draft(path) as part, open(part, mode, encoding=encoding if text else None, errors=errors if text else None) as file:
        yield file


def write_bytes(path: Path, content: bytes) -> None:
    """All or nothing, see `draft`."""
    with replacing(path, "wb") as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """UTF-8, all or nothing, see `draft`."""
    with replacing(path) as file:
        file.write(text)


def write_json(path: Path, content: object) -> None:
    """`json_text`, all or nothing, see `draft`."""
    write_text(path, json_text(content))


def json_text(content: object) -> str:
    """As JSON; a number that is none (nan, inf) becomes null."""
    return json.dumps(_finite(content), indent=1, allow_nan=False)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises `FileError` for a damaged one."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is damaged: it is not JSON ({error}).") from None


def sha256(*parts: bytes | str) -> str:
    """64 hexadecimal digits that change with the ``parts``, put one after the other; texts as UTF-8."""
    return sha256_of(parts)


def sha256_of(parts: Iterable[bytes | str]) -> str:
    """`sha256` of many parts, of which one at a time is in memory."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def content_hash(path: Path) -> str:
    """`sha256` of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, refusal: DensnetError) -> Iterator[None]:
    """Holds the lock file ``path`` against other processes; raises ``refusal`` if one has it. The lock goes with the process."""
    with open(path, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal from None
        yield


def _finite(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
