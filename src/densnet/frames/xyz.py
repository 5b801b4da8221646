"""The one door for geometries in xyz and extended xyz files: every stage reads them here, with the same patience and the same refusals.

Read are also: blank lines and ORCA's ">" between frames, byte order marks, Latin-1 and UTF-16, atomic numbers, labels (H2, the second atom)
and isotopes (D, T, 13C) in place of symbols, exponents of Fortran and of QM9, whose last three lines are left out.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from densnet import isotopes
from densnet.files import sha256
from densnet.frames import comment, neutral
from densnet.molecules import SYMBOLS, MoleculeError, Molecules, bonds, check_geometry
from densnet.units import AMU, ANGSTROM


class GeometryError(MoleculeError):
    """A file of geometries that cannot be read, or geometries that cannot be sampled; the message names file, frame and remedy."""


ELEMENT = {"species", "symbols", "symbol", "element", "elements", "z", "numbers", "atomic_numbers", "atomicnumbers"}
PLACE = {"pos", "positions", "position", "coords", "coordinates", "xyz"}
MASS = {"masses", "mass"}
"""Names of columns, in small letters."""

Rows = list[tuple[int, str]]
"""Lines with their numbers, counted from 1."""


@dataclass(frozen=True)
class Record:
    """One frame of a file, checked.

    molecule  single, bohr; with the masses of its isotopes where the file means other than the most abundant ones
    about     what its comment line says: key -> text; see `comment.pairs`
    columns   name -> [atoms] or [atoms, columns], as written, of what is neither element nor position nor mass
    name      "FILE, frame 3"
    """

    molecule: Molecules
    about: dict[str, str]
    columns: dict[str, np.ndarray]
    name: str

    @property
    def trajectory(self) -> int:
        """`trajectory=...`: its number; a name has a number of its own, the same in every file; 0 if there is none."""
        text = self.about.get("trajectory", "0").strip()
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else int(sha256(text)[:12], 16)

    @property
    def temperature(self) -> float:
        """`temperature=...` in K, the unit may stand behind it; NaN where there is no such number."""
        text = re.sub(r"\s*(k|kelvin)\s*$", "", self.about.get("temperature", "nan"), flags=re.I)
        found = comment.numbers(text)
        return found[0] if found and len(found) == 1 else float("nan")


def read(path: Path) -> list[Record]:
    """All frames of a file, positions in Angstrom there.

    Raises `GeometryError` for what is no xyz file, or not a whole one; `MoleculeError` for what no stage can treat: charged, open-shell or
    periodic frames, unsupported elements, overlapping atoms, atoms without any bond (a file in bohr).
    """
    path = Path(path)
    if not path.is_file():
        raise GeometryError(f"geometry file {path} does not exist.")
    frames = list(_frames(decoded(path), path))
    if not frames:
        raise GeometryError(f"{path} is empty; it contains no geometry.")
    return [_record(rows, remark, f"{path}, frame {k}") for k, (remark, rows) in enumerate(frames, start=1)]


def decoded(path: Path) -> str:
    """The text of a file with plain line ends: UTF-8 or UTF-16 with or without a byte order mark, else Latin-1."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    if "\0" in text or content.startswith((b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")):
        raise GeometryError(f"{path} is not a text file; if it is compressed, unpack it first.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def looks_like_one(path: Path) -> bool:
    """Whether a file begins as xyz files do, with a number of atoms in a line of its own, whatever its name is."""
    with open(path, "rb") as file:
        start = file.read(400)
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    lines = start.decode(encoding, errors="replace").split()
    return bool(lines) and lines[0].isdecimal()


def _frames(text: str, path: Path) -> Iterator[tuple[str, Rows]]:
    """Comment and rows of the atoms of each frame."""
    lines = text.split("\n")
    at, count = 0, 0
    while at < len(lines):
        line = lines[at].strip()
        if line in ("", ">"):
            at += 1
            continue
        count += 1
        if not re.fullmatch(r"\d{1,9}", line):
            raise GeometryError(
                f"{path} is not a complete xyz file (truncated?): line {at + 1} is {_short(line)!r}, where frame {count} should begin with "
                "its number of atoms."
            )
        size, rows = int(line), list(enumerate(lines[at + 2 : at + 2 + int(line)], start=at + 3))
        if size == 0:
            raise GeometryError(f"{path}, frame {count} is empty: it has no atoms.")
        whole = next((k for k, (_, row) in enumerate(rows) if not row.strip()), len(rows))
        if whole < size:
            raise GeometryError(f"{path} is not a complete xyz file (truncated?): frame {count} has {whole} of {size} atoms.")
        if at + 2 + size == len(lines):
            _refuse_cut([row.split() for _, row in rows], f"{path}, frame {count}")
        yield lines[at + 1].strip(), rows
        at += 2 + size
        at += _end_of_qm9(lines[at : at + 3], size)


def _short(line: str) -> str:
    return line if len(line) <= 40 else line[:37] + "..."


def _end_of_qm9(lines: list[str], atoms: int) -> int:
    """How many lines a file of QM9 has behind its atoms: frequencies, SMILES, InChI; 0 of another file."""
    if len(lines) < 3 or not lines[2].startswith("InChI="):
        return 0
    frequencies = lines[0].split()
    return 3 if len(frequencies) in (3 * atoms - 6, 3 * atoms - 5) and comment.numbers(lines[0]) is not None else 0


def _refuse_cut(rows: list[list[str]], name: str) -> None:
    """No line end behind the last row: its last number must have as many digits as those above it, if these agree."""
    if len(rows) < 3 or len(set(map(len, rows))) > 1:
        return
    *above, last = [len(row[-1].partition(".")[2]) for row in rows]
    if len(set(above)) == 1 and last < above[0]:
        raise GeometryError(
            f"{name} seems truncated within its last number, {rows[-1][-1]}, with fewer digits than those above; if complete, end the "
            "line with a line break."
        )


@dataclass(frozen=True)
class _Layout:
    """What the columns of a frame are: (name, whether text, first, last + 1) of each."""

    columns: tuple[tuple[str, bool, int, int], ...]

    @classmethod
    def of(cls, properties: str | None, name: str) -> _Layout:
        """By the value of `Properties=...`; of plain xyz element and position."""
        fields = (properties or "species:S:1:pos:R:3").split(":")
        columns, start = [], 0
        for title, kind, width in zip(fields[::3], fields[1::3], fields[2::3]):
            if kind not in ("S", "R", "I", "L") or not width.isdecimal() or not int(width):
                break
            columns.append((title, kind in "SL", start, start + int(width)))
            start += int(width)
        names = [column[0].lower() for column in columns]
        places = [last - first for title, _, first, last in columns if title.lower() in PLACE]
        if 3 * len(columns) != len(fields) or not ELEMENT & set(names) or places != [3]:
            raise GeometryError(f"{name}: Properties is {properties!r}, not such as species:S:1:pos:R:3, with elements and positions.")
        return cls(tuple(columns))

    @cached_property
    def width(self) -> int:
        """Columns of a row."""
        return self.columns[-1][3]


def _record(rows: Rows, remark: str, name: str) -> Record:
    about = comment.pairs(remark)
    layout = _Layout.of(next((about[key] for key in about if key.lower() == "properties"), None), name)
    cells = []
    for line, row in rows:
        cells.append(row.split())
        if len(cells[-1]) < layout.width:
            got, text = len(cells[-1]), _short(row.strip())
            raise GeometryError(f"{name}, line {line} has {got} columns of {layout.width} (truncated?): {text!r}.")
    columns = {}
    for title, worded, first, last in layout.columns:
        if worded or title.lower() in ELEMENT:
            values = np.array([row[first:last] for row in cells])
        else:
            values = np.array([[_number(cell, title, line, name) for cell in row[first:last]] for (line, _), row in zip(rows, cells)])
        columns[title] = values[:, 0] if last - first == 1 else values
    element, place, mass = ([values for title, values in columns.items() if title.lower() in names] for names in (ELEMENT, PLACE, MASS))
    numbers, symbols = zip(*_elements(element[0].tolist(), rows, name))
    written = [own or value for own, value in zip(symbols, mass[0].tolist())] if mass else list(symbols)
    molecule = Molecules.single(numbers, place[0] * ANGSTROM)
    rest = {t: v for t, v in columns.items() if t.lower() not in ELEMENT | PLACE | MASS}
    _refuse_periodic(about, name)
    neutral.check(about, rest, name, remark)
    check_geometry(molecule.numbers, molecule.positions, name)
    _refuse_bohr(about, molecule, name)
    return Record(with_masses(molecule, written, name), about, rest, name)


def with_masses(molecule: Molecules, written: list[float | None], name: str) -> Molecules:
    """``molecule`` with the isotopes that the masses ``written`` (u; None: nothing is written) mean; see `isotopes.meant`."""
    numbers, ordinary = molecule.numbers.tolist(), (molecule.masses / AMU).tolist()
    masses = [own if value is None else isotopes.meant(z, value) for z, value, own in zip(numbers, written, ordinary)]
    if None in masses:
        k = masses.index(None)
        raise MoleculeError(f"{name}: the mass of atom {k + 1} ({SYMBOLS[numbers[k]]}) is {written[k]:g}, not a possible mass in u.")
    if all(abs(mass - own) < 1e-6 for mass, own in zip(masses, ordinary)):
        return molecule
    return Molecules.single(molecule.numbers, molecule.positions, torch.tensor(masses, dtype=torch.float64) * AMU)


def _number(cell: str, title: str, line: int, name: str) -> float:
    try:
        return float(cell)
    except ValueError:
        pass
    try:
        return comment.number(cell)
    except ValueError:
        hint = " with a decimal point" if re.fullmatch(r"[+-]?\d*,\d+", cell) else ""
        raise GeometryError(f"{name}, line {line} contains {cell!r} for {title}, which should be a number{hint}.") from None


_WORD = re.compile(r"(?P<nucleons>\d{1,2})?(?P<letters>[A-Za-z]{1,2})(?P<label>\d+)?(\(iso=(?P<iso>\d+)\))?", re.I)


def _elements(words: list[str], rows: Rows, name: str) -> list[tuple[int, float | None]]:
    labels = [word for word in words if word[-1].isdigit() and word[0].isalpha()]
    if len(set(labels)) < len(labels):
        twice = next(word for word in labels if labels.count(word) > 1)
        raise GeometryError(f"{name}: {twice!r} is used for several atoms, so it is not an atom label; write an isotope as D, T or 13C.")
    return [_element(word, place, line, name) for place, (word, (line, _)) in enumerate(zip(words, rows))]


def _element(word: str, place: int, line: int, name: str) -> tuple[int, float | None]:
    """Atomic number and, for an isotope, its mass (u) of what stands in the first column: O, o, 8, D, 13C, H(Iso=2), or H3 for atom 3."""
    if re.fullmatch(r"\d{1,3}(\.0*)?", word):
        if 0 < (number := int(float(word))) < len(SYMBOLS):
            return number, None
    elif found := _WORD.fullmatch(word):
        symbol, nucleons = found["letters"].capitalize(), found["nucleons"] or found["iso"]
        if symbol in ("D", "T") and nucleons is None:
            symbol, nucleons = "H", {"D": 2, "T": 3}[symbol]
        if symbol in SYMBOLS[1:] and (found["label"] is None or int(found["label"]) <= place + 1):
            number = SYMBOLS.index(symbol)
            known = isotopes.MASSES.get(number, {})
            if nucleons is None or int(nucleons) in known:
                return number, None if nucleons is None else known[int(nucleons)]
    raise GeometryError(f"{name}, line {line}: {word!r} is not the symbol of an element; check the first column.")


def _refuse_periodic(about: dict[str, str], name: str) -> None:
    keys = {key.lower(): value for key, value in about.items()}
    lattice = comment.numbers(keys.get("lattice", "")) or []
    pbc = keys["pbc"].split() if "pbc" in keys else ["T" if any(lattice) else "F"]
    if any(word.strip(",").upper() in ("T", "TRUE", "1") for word in pbc):
        raise GeometryError(f'{name} is periodic; densnet supports only isolated molecules: write pbc="F F F", or omit the lattice.')


_UNIT_KEYS = {"unit", "units", "lengthunit", "lengthunits", "posunit", "positionsunit", "coordinateunit", "coordinatesunit"}


def _refuse_bohr(about: dict[str, str], molecule: Molecules, name: str) -> None:
    """No atom bonded to another: most likely positions in bohr. The words of a unit in the comment line are believed."""
    said = [key for key in about if re.sub("[^a-z]", "", key.lower()) in _UNIT_KEYS]
    if wrong := next((key for key in said if re.search(r"bohr|\ba\.?u\b|atomic", about[key], re.I)), None):
        raise GeometryError(f"{name}: {wrong} is {about[wrong]!r}, but xyz files are in Angstrom; multiply the positions by 0.529177.")
    if len(molecule.numbers) > 2 and not bonds(molecule).any():
        raise GeometryError(f"{name}: no atom is bonded to another; if the positions are in bohr, multiply them by 0.529177 (Angstrom).")
