"""What a comment line of extended xyz says: `key=value` pairs, as text. A word alone says nothing: "energy -3.2" is prose."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PAIR = re.compile(
    r"""(?P<key>"[^"=]+"|[^\s=,;|"'(){}\[\]]+)\s*=\s*
    (?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{.*?\}(?=\s|$)|\[.*?\](?=\s|$)|(?![^\s=;,|"']*=)(?:[^\s;,|"']|,(?![A-Za-z_][^\s=;,]*=))*)""",
    re.X,
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.I)
_EXPONENT = re.compile(r"(?<=[\d.])(\*\^|[dD])(?=[+-]?\d)")


def pairs(line: str) -> dict[str, str]:
    """key -> text between the quotes or brackets, of a comment ``line``; the first of equal keys counts, empty values are left out."""
    found: dict[str, str] = {}
    for match in _PAIR.finditer(line):
        value = match["value"].strip().rstrip(",")
        if value[:1] in "\"'" and value:
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif value[:1] in "{[":
            value = value[1:-1]
        if value.strip():
            found.setdefault(match["key"].strip('"'), value)
    return found


def said(line: str, words: str) -> Iterator[tuple[str, str]]:
    """(word, integer) wherever one of ``words`` (a pattern) stands in the prose of ``line`` with a whole number behind it: "charge 2"."""
    prose = _PAIR.sub(" ", line)
    yield from re.findall(rf"(?<![\w/])({words})(?:\s*:\s*|\s+)([+-]?\d+)(?![\w./])", prose, re.I)


def number(text: str) -> float:
    """A number as programs write it, also with the exponents of Fortran (1.2D-3) and of Mathematica (1.2*^-3). Raises ValueError."""
    plain = _EXPONENT.sub("e", text)
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"{text!r} is not a number")
    return float(plain)


def numbers(text: str) -> list[float] | None:
    """All numbers of ``text``, parted by blanks, commas or brackets; None if there is anything else in it."""
    try:
        return [number(part) for part in re.split(r"[\s,\[\]{}()]+", text) if part]
    except ValueError:
        return None
