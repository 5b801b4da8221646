"""The door for geometries: what real files look like is read, what they say of charge, spin and isotopes is believed."""

import json
import re
from pathlib import Path

import pytest
import torch

from densnet.frames import comment
from densnet.frames.xyz import GeometryError, read
from densnet.molecules import MoleculeError, isotopologue
from densnet.reference import campaign, geometries
from densnet.units import AMU, ANGSTROM

ROWS = "O 0.0000 0.0000 0.1173\nH 0.0000 0.7572 -0.4692\nH 0.0000 -0.7572 -0.4692\n"
WATER = f"3\nwater\n{ROWS}"
QM9 = (
    "3\ngdb 3\t799.58812\t437.90386\t1.8511\t\nO\t0.0\t0.0\t 1.173*^-1\t-0.589706\nH\t0.0\t 0.7572\t-0.4692\t 0.294851\n"
    "H\t0.0\t-0.7572\t-0.4692\t 0.294854\n1671.4222\t3803.6305\t3907.698\nO\tO\t\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
)


def of(tmp_path: Path, content: str | bytes, name: str = "a.xyz"):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(tmp_path / name)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return of(tmp_path_factory.mktemp("plain"), WATER)[0].molecule


@pytest.mark.parametrize(
    ("content", "frames"),
    [
        (WATER + "\n" + WATER + " \n\n" + WATER, 3),
        ("\n\n" + WATER, 1),
        (WATER + ">\n" + WATER + ">\n", 2),
        (WATER.replace("\n", "\r\n"), 1),
        (WATER.replace("\n", "\r"), 1),
        (b"\xef\xbb\xbf" + WATER.encode(), 1),
        (WATER.encode("utf-16"), 1),
        (WATER.replace("water", "25 °C, µ, ä").encode("latin-1"), 1),
        (WATER.replace("water", "a line \x0c\x1c and \x85").encode(), 1),
        (WATER.replace("water", ""), 1),
        (WATER.replace("O 0", "8 0").replace("H 0", "1 0"), 1),
        (WATER.replace("O 0", "8.0 0").replace("H 0", "01 0"), 1),
        (WATER.replace("O 0", "o 0").replace("H 0", "h 0"), 1),
        ("3\nlabels\nO1 0 0 0.1173\nH2 0 0.7572 -0.4692\nH3 0 -0.7572 -0.4692\n", 1),
        ("3\nlabels\nO1 0 0 0.1173\nH1 0 0.7572 -0.4692\nH2 0 -0.7572 -0.4692\n", 1),
        (WATER.replace("0.1173", "1.173D-01").replace("0.7572", "7.572d-1"), 1),
        (QM9, 1),
        (QM9 + QM9, 2),
        (WATER[:-1], 1),
        (WATER.replace("H 0.0000", "H  \t 0.0000"), 1),
        (WATER.replace("water", "Properties=pos:R:3:species:S:1").replace(ROWS, re.sub(r"(\w) (.*)\n", r"\2 \1\n", ROWS)), 1),
        (WATER.replace("water", "Properties=Z:I:1:pos:R:3").replace("O 0", "8 0").replace("H 0", "1 0"), 1),
    ],
)
def test_files_as_programs_write_them(tmp_path, plain, content, frames):
    found = of(tmp_path, content)
    assert len(found) == frames
    for record in found:
        assert record.molecule.numbers.tolist() == [8, 1, 1] and record.molecule.isotopes is None
        assert torch.equal(record.molecule.positions, plain.positions), "the numbers must be the same to the bit"


@pytest.mark.parametrize(
    "words",
    [
        "energy -4213.7", "step 10 temperature 300 K", "trajectory 5", "conformer 1 of 3", "charge 0 mult 1", "water no pbc",
        "Lattice parameters unknown", "Properties of water at 300 K", "Bob's charge", "virial=None", 'stress="1 2 3 4 5 6"', "pbc=F",
        "charge=-1.1e-16", "charge=0.0", "Charge=0 mult=1", "spin=singlet", "total_spin=0", "total_spin=1", "spin=1", "charge=neutral",
        "charge=None", "uhf=F", "magmom=1e-5", 'charge="-0.8 0.4 0.4"', "q=0.35", "multiplicity=1,", 'pbc="F F F"', "temperature=warm",
        'Lattice="0 0 0 0 0 0 0 0 0"', "charge = 0", "a=b=c charge", '"a key"=3', "trajectory=1e3", "charge 0, multiplicity: 1",
        "Charge/Multiplicity: 0/1", "frame=1|charge=0|mult=1",
        " i = 0, time = 0.000, E = -17.16", "SMILES=O InChI=InChI=1S/H2O/h1H2", "charge of 3 atoms",
    ],
)  # fmt: skip
def test_neutral_molecules_in_any_words(tmp_path, words):
    assert len(of(tmp_path, WATER.replace("water", words))) == 1


@pytest.mark.parametrize(
    "words",
    [
        "charge=2", "Charge=-2", "total_charge=2", "tot_charge=2", "net-charge=+2", "q=2", "REF_charge=2", "charge=2+", "charge=2.0",
        "charge = 2", "mult=3", "multiplicity=3", "spin_multiplicity=3", "spin_mult=3", "total_spin=3", "spin=3", "spin=2", "spin=triplet",
        "uhf=2", "n_unpaired=2", "magmom=2.0", 'charge="1 1 0"', 'magmom="0 0 2"', "charge=[2]", "charge={2}", "charge 2 mult 1",
        "charge: -2",
        'charges="1 0.5 0.5"', "2S+1=3", "a=1|charge=2", "a=1,charge=2", "a=1;charge=2;",
        "multiplicity 3", "multiplicity=5", "charge=1e-1", "charge='2'", "charge=two",
    ],
)  # fmt: skip
def test_ions_and_open_shells_under_every_name(tmp_path, words):
    with pytest.raises(MoleculeError, match="a.xyz, frame 2: .*neutral closed-shell molecules only") as told:
        of(tmp_path, WATER + WATER.replace("water", words))
    assert re.search("(charge|q|mult|multiplicity|spin|uhf|unpaired|magmom|2S.1)s? (is|add up)", str(told.value), re.I)


@pytest.mark.parametrize(
    ("column", "values"),
    [("initial_charges", (2, 0, 0)), ("charge", (0.5, 0.3, 0.2)), ("initial_magmoms", (1, -1, 0)), ("magmoms", (0, 1, 1))],
)
def test_columns_of_ions_and_open_shells(tmp_path, column, values):
    rows = "".join(f"{row} {value}\n" for row, value in zip(ROWS.splitlines(), values))
    with pytest.raises(MoleculeError, match=f"frame 1: {column} of the atoms"):
        of(tmp_path, f"3\nProperties=species:S:1:pos:R:3:{column}:R:1\n{rows}")
    rows = "".join(f"{row} {value}\n" for row, value in zip(ROWS.splitlines(), (0, 0, 0)))
    of(tmp_path, f"3\nProperties=species:S:1:pos:R:3:{column}:R:1\n{rows}")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("0\nnothing\n", "frame 1 is empty: it has no atoms"),
        (WATER + WATER[:-30], "frame 2 has 2 of 3 atoms"),
        (WATER.replace("3\n", "2\n", 1), "line 5 is 'H 0.0000 -0.7572 -0.4692', where frame 2 should begin"),
        (WATER.replace("3\n", "4\n", 1), "frame 1 has 3 of 4 atoms"),
        (WATER.replace("3\n", "4\n", 1) + WATER, "line 7 is 'water', where frame 2 should begin"),
        (WATER + "END\n", "line 6 is 'END'"),
        (WATER[:-4], "truncated within its last number, -0.4"),
        (WATER.replace("0.1173", "0,1173"), "line 3 holds '0,1173' for pos, which should be a number with a decimal point"),
        (WATER.replace("0.1173", "******"), "line 3 holds '\\*\\*\\*\\*\\*\\*'"),
        (WATER.replace("water", "Properties=foo"), "Properties is 'foo'"),
        (WATER.replace("water", "Properties=species:S:1:pos:R:2"), "with elements and positions"),
        (WATER.replace("O 0", "Xx 0"), "frame 1, line 3: 'Xx' is not the symbol"),
        (WATER.replace("O 0", "0 0"), "'0' is not the symbol"),
        (WATER.replace("H 0", "H2 0"), "'H2' is used for several atoms"),
        (WATER.replace("O 0", "Se 0"), "element Se is not supported"),
        (WATER.replace("water", 'pbc="T T T"'), "is periodic"),
        (WATER.replace("water", "units=bohr"), "units is 'bohr', but xyz files are in Angstrom"),
        (re.sub(r"-?\d\.\d+", lambda n: f"{1.8897 * float(n[0]):.5f}", WATER), "in bohr, multiply them by 0.529177"),
        (b"\x1f\x8b\x08\x00\x00", "is not a text file; if it is compressed"),
        (b"\x89HDF\r\n\x1a\n\0\0\0", "is not a text file"),
    ],
)
def test_what_is_no_whole_file_is_told_with_its_line(tmp_path, content, told):
    with pytest.raises(MoleculeError, match=told) as error:
        of(tmp_path, content)
    assert "a.xyz" in str(error.value)


def test_a_short_last_number_is_no_cut_where_lengths_differ_or_the_line_ends(tmp_path):
    of(tmp_path, WATER[:-4] + "\n")
    of(tmp_path, WATER.replace("0.1173", "0.117")[:-2])


@pytest.mark.parametrize(
    ("rows", "name", "amu"),
    [
        (ROWS.replace("H", "D"), "D2O", [15.9949146, 2.01410178, 2.01410178]),
        (ROWS.replace("H", "d"), "D2O", [15.9949146, 2.01410178, 2.01410178]),
        (ROWS.replace("H 0.0000 0", "2H 0.0000 0").replace("O 0", "18O 0"), "HD[18O]", [17.99915961, 2.01410178, 1.00782503]),
        (ROWS.replace("H 0.0000 0", "H(Iso=3) 0.0000 0"), "HTO", [15.9949146, 3.01604928, 1.00782503]),
    ],
)
def test_symbols_of_isotopes(tmp_path, rows, name, amu):
    molecule = of(tmp_path, f"3\n\n{rows}")[0].molecule
    assert isotopologue(molecule) == name and molecule.numbers.tolist() == [8, 1, 1]
    assert (molecule.masses / AMU).tolist() == pytest.approx(amu, rel=1e-12)


@pytest.mark.parametrize(
    ("masses", "name"),
    [
        ((15.999, 1.008, 1.008), ""), ((15.99491, 1.00794, 1.00783), ""), ((16, 1, 1), ""), ((15.999, 2.014, 2.014), "D2O"),
        ((16, 2, 1), "HDO"), ((17.999, 1.008, 1.008), "H2[18O]"), ((15.999, 4.032, 4.032), "[H 4.032 u]2O"),
    ],
)  # fmt: skip
def test_columns_of_masses_mean_isotopes_where_they_are_meant(tmp_path, plain, masses, name):
    rows = "".join(f"{row} {mass}\n" for row, mass in zip(ROWS.splitlines(), masses))
    molecule = of(tmp_path, f"3\nProperties=species:S:1:pos:R:3:masses:R:1\n{rows}")[0].molecule
    assert isotopologue(molecule) == name and (molecule.isotopes is None) == (name == "")
    if not name:
        assert torch.equal(molecule.masses, plain.masses)


def test_masses_in_another_unit_are_refused(tmp_path):
    rows = "".join(f"{row} {mass}\n" for row, mass in zip(ROWS.splitlines(), (29156.9, 1837.15, 1837.15)))
    with pytest.raises(MoleculeError, match="frame 1: the mass of atom 1 \\(O\\) is 29156.9, not a possible mass in u"):
        of(tmp_path, f"3\nProperties=species:S:1:pos:R:3:masses:R:1\n{rows}")


def test_isotopes_are_written_and_read_but_change_no_identity_of_a_label(tmp_path, plain):
    heavy = of(tmp_path, WATER.replace("H", "D"))[0].molecule
    geometries.write(tmp_path / "frames.xyz", [geometries.Frame(heavy, 3, 300.0), geometries.Frame(plain, 4, 300.0)], {})
    again = [frame.molecule for frame in geometries.read(tmp_path / "frames.xyz")]
    assert [isotopologue(m) for m in again] == ["D2O", ""]
    assert torch.allclose(again[0].masses, heavy.masses, rtol=1e-8)
    assert campaign.identity(again[0], {}) == campaign.identity(again[1], {})


def test_trajectories_and_temperatures_are_read_with_units_and_names(tmp_path):
    def first(words):
        return of(tmp_path, WATER.replace("water", words))[0]

    assert [first(f"temperature={t}").temperature for t in ("300", "300K", '"300 K"', "3.0D+02")] == [300.0] * 4
    assert first("temperature=warm").temperature != first("temperature=warm").temperature, "NaN: unknown"
    named = [first(f"trajectory={t}").trajectory for t in ("md_01", "md_01", "md_02", "7", "-1")]
    assert named[0] == named[1] != named[2] and named[3:] == [7, -1] and first("trajectory 5").trajectory == 0


def test_comment_lines_are_pairs_and_prose():
    line = """energy -3 E=-1.5 note='it\\'s "so"' list=[1, 2] m={3 4} empty= next="a=b" q=1;w=2, r=3,s=4,5 _JSON """
    line += """header='_JSON {"a": [1, 2]}' last = 5"""
    found = comment.pairs(line)
    assert found == {
        "E": "-1.5", "note": 'it\'s "so"', "list": "1, 2", "m": "3 4", "next": "a=b", "q": "1", "w": "2", "r": "3", "s": "4,5",
        "header": '_JSON {"a": [1, 2]}', "last": "5",
    }  # fmt: skip
    assert json.loads(found["header"].removeprefix("_JSON ")) == {"a": [1, 2]}
    assert comment.numbers("[[1, 2.5], [-3d2 1.1*^-1]]") == [1.0, 2.5, -300.0, 0.11] and comment.numbers("1 a") is None
    with pytest.raises(ValueError, match="'1_0' is not a number"):
        comment.number("1_0")


def test_ordinary_files_are_read_as_ase_reads_them():
    import ase.io

    for path in sorted((Path(__file__).parents[2] / "examples" / "geometries").glob("*.xyz")):
        for ours, theirs in zip(read(path), ase.io.read(path, index=":", format="extxyz"), strict=True):
            assert torch.equal(ours.molecule.positions, torch.from_numpy(theirs.positions) * ANGSTROM)
            assert ours.molecule.numbers.tolist() == theirs.numbers.tolist()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GeometryError, match="nowhere.xyz does not exist"):
        read(tmp_path / "nowhere.xyz")
