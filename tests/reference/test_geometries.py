"""Sampled frames are reproducible, distinct and of known trajectories; files that cannot be used are refused with a sentence."""

from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from ase.optimize import BFGS

from densnet.molecules import MoleculeError
from densnet.reference import geometries
from densnet.reference.geometries import GeometryError, Run, SampleSettings, drop_duplicates, langevin, read, sample, write
from densnet.settings import SettingsError, parse
from densnet.units import ANGSTROM

EXAMPLES = Path(__file__).parents[2] / "examples" / "geometries"
WATER = "3\nwater\nO 0.0 0.0 0.0\nH 0.0 0.76 0.59\nH 0.0 -0.76 0.59\n"


def short(**changes) -> SampleSettings:
    values = {
        "geometries": EXAMPLES / "water.xyz", "frames": 7, "trajectories": 3, "temperature": [200.0, 400.0], "interval_fs": 8.0,
        "equilibration_fs": 10.0, "first_trajectory": 20, "seed": 3, "workers": 1,
    }  # fmt: skip
    return parse(SampleSettings, values | changes, "sample")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    told = []
    out = tmp_path_factory.mktemp("frames") / "deep" / "frames.extxyz"
    frames = sample(short(), out, progress=lambda done, total: told.append((done, total)))
    return frames, out, told


def test_frames_belong_to_the_trajectories_and_temperatures_asked_for(sampled):
    frames, _, told = sampled
    assert sorted({(f.trajectory, f.temperature) for f in frames}) == [(20, 200.0), (21, 400.0), (22, 200.0)]
    assert sorted(f.trajectory for f in frames) == [20, 20, 20, 21, 21, 22, 22]
    assert [f.trajectory for f in frames] != sorted(f.trajectory for f in frames), "a prefix must be a fair sample"
    assert told[-1] == (7, 7)


def test_the_file_gives_the_same_frames_back_with_its_header(sampled):
    frames, out, _ = sampled
    for written, again in zip(frames, read(out), strict=True):
        assert torch.equal(written.molecule.numbers, again.molecule.numbers)
        assert torch.allclose(written.molecule.positions, again.molecule.positions, rtol=0, atol=1e-13)
        assert (written.trajectory, written.temperature) == (again.trajectory, again.temperature)
    header = geometries.header(out)
    assert header["format_version"] == geometries.FORMAT_VERSION
    assert header["units"]["positions"] == "Angstrom" and header["settings"]["seed"] == 3
    assert not list(out.parent.glob("*.part"))


def test_the_same_seed_gives_the_same_frames_whatever_the_number_of_workers(sampled, tmp_path):
    sample(short(workers=2), tmp_path / "again.extxyz")
    assert (tmp_path / "again.extxyz").read_bytes() == sampled[1].read_bytes()


def test_frames_vibrate_about_the_origin_and_hold_together(sampled):
    from densnet.molecules import Molecules

    for frame in sampled[0]:
        molecule: Molecules = frame.molecule
        centre = (molecule.masses[:, None] * molecule.positions).sum(0) / molecule.masses.sum()
        assert centre.abs().max() < 0.01
        bonds = (molecule.positions[1:] - molecule.positions[0]).norm(dim=1) / ANGSTROM
        assert 0.8 < bonds.min() and bonds.max() < 1.2
    spread = torch.stack([geometries.distance_vector(f.molecule) for f in sampled[0]]).std(0)
    assert (spread > 0.005).all(), "frames do not move"


def test_every_conformer_of_the_examples_is_a_minimum_of_its_own():
    for name, count in (("water", 1), ("ethanol", 3), ("ethanethiol", 3), ("resorcinol", 4)):
        frames = read(EXAMPLES / f"{name}.xyz")
        assert len(frames) == count
        signed = {round(_volume(f.molecule.positions), 1) for f in frames}
        distinct = drop_duplicates(frames, 0.01 * ANGSTROM)
        assert len(distinct) >= count - 1 and (len(distinct) == count or len(signed) > 1), "mirror images differ in their handedness only"


def _volume(x: torch.Tensor) -> float:
    """Handedness of the first two heavy bonds and the last atom."""
    return float(torch.linalg.det(torch.stack([x[0] - x[1], x[2] - x[1], x[-1] - x[1]]))) if len(x) == 9 else 0.0


def test_near_duplicates_are_dropped_in_any_orientation(sampled):
    frame = sampled[0][0]
    turn = torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).normal(size=(3, 3))))[0]
    turned = geometries.Frame(frame.molecule.at(frame.molecule.positions @ turn.T + 3.0), 5, 300.0)
    stretched = geometries.Frame(frame.molecule.at(frame.molecule.positions * 1.02), 5, 300.0)
    assert drop_duplicates([frame, turned, stretched], 0.001 * ANGSTROM) == [frame, stretched]


def test_own_frames_are_taken_as_they_are(tmp_path):
    (tmp_path / "own.xyz").write_text(WATER + WATER.replace("0.59", "0.60") + WATER)
    frames = sample(short(geometries="own.xyz", method="as given"), tmp_path / "out.extxyz", root=tmp_path)
    assert sorted(float(f.molecule.positions[1, 2]) / ANGSTROM for f in frames) == pytest.approx([0.59, 0.60], abs=1e-12)


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("", GeometryError, "is empty"),
        (WATER[:-20], GeometryError, "truncated"),
        ("garbage\n", GeometryError, "not a complete xyz"),
        (WATER.replace("O ", "Xq "), GeometryError, "'Xq' is not the symbol"),
        (WATER.replace("O ", "Si "), MoleculeError, "element Si is not supported"),
        (WATER.replace("O ", "N "), MoleculeError, "9 electrons, an odd number"),
        (WATER.replace("-0.76", "0.70"), MoleculeError, "Angstrom apart"),
        (WATER.replace("0.59", "nan"), MoleculeError, "not a finite number"),
        (WATER.replace("water", "charge=-1"), MoleculeError, "charge is -1"),
        (WATER.replace("water", "spin=3"), MoleculeError, "spin is 3"),
        (WATER + WATER.replace("water", "charge=2"), MoleculeError, "frame 2: charge is 2"),
    ],
)
def test_bad_geometries_are_refused(tmp_path, text, error, words):
    (tmp_path / "bad.xyz").write_text(text)
    with pytest.raises(error, match=words):
        read(tmp_path / "bad.xyz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GeometryError, match="nowhere.xyz does not exist"):
        read(tmp_path / "nowhere.xyz")


def test_periodic_frames_are_refused(tmp_path):
    (tmp_path / "box.xyz").write_text(WATER.replace("\nwater\n", '\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3\n'))
    with pytest.raises(GeometryError, match="is periodic"):
        read(tmp_path / "box.xyz")


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="`interval_fs` = 0.2 must be a multiple of `timestep_fs` = 0.5"):
        short(interval_fs=0.2)
    with pytest.raises(SettingsError, match="must be a multiple"):
        short(interval_fs=1.2)
    with pytest.raises(SettingsError, match="did you mean `temperature`"):
        short(temprature=300)
    with pytest.raises(SettingsError, match="positive temperature"):
        short(temperature=[300, -1])
    assert short(temperature=300).temperature == (300.0,)


def test_writing_is_all_or_nothing(sampled, tmp_path):
    frames, _, _ = sampled
    write(tmp_path / "frames.extxyz", frames, {})
    before = (tmp_path / "frames.extxyz").read_bytes()

    def broken():
        yield frames[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "frames.extxyz", broken(), {})
    assert (tmp_path / "frames.extxyz").read_bytes() == before


def test_every_temperature_has_its_turn():
    """Each conformer at each temperature where there are trajectories enough; else both change from one to the next."""
    turns = [geometries._turns(k, 6, 2, 3) for k in range(6)]
    assert sorted(turns) == [(c, t) for c in range(2) for t in range(3)]
    for trajectories, conformers, temperatures in ((10, 10, 3), (4, 2, 3), (5, 3, 3), (7, 2, 4)):
        turns = [geometries._turns(k, trajectories, conformers, temperatures) for k in range(trajectories)]
        assert {t for _, t in turns} == set(range(temperatures)) and len(set(turns)) == trajectories
        assert {c for c, _ in turns} == set(range(min(conformers, trajectories)))


def test_an_apostrophe_in_the_settings_comes_back(sampled, tmp_path):
    settings = {"geometries": "Bob's \\ caf\u00e9.xyz", "note": 'a "quote"'}
    write(tmp_path / "frames.extxyz", sampled[0], settings)
    assert len(read(tmp_path / "frames.extxyz")) == 7
    assert geometries.header(tmp_path / "frames.extxyz")["settings"] == settings


@pytest.mark.filterwarnings("ignore:Use thermalize_momenta:DeprecationWarning")
def test_velocities_of_twice_the_temperature_bring_twice_the_potential_energy():
    """From a minimum, of what vibrates harmonically, half of the energy of the start is potential energy later on."""
    from tblite.ase import TBLite

    minimum = read(EXAMPLES / "water.xyz")[0].molecule
    start = ase.Atoms(minimum.numbers.numpy(), minimum.positions.numpy() / ANGSTROM, calculator=TBLite(method="GFN2-xTB", verbosity=0))
    BFGS(start, logfile=None).run(fmax=1e-3)
    least, settings = start.get_potential_energy(), short(timestep_fs=1.0, equilibration_fs=10.0, friction_per_ps=0.01)
    means = []
    for heat in (1.0, 2.0):
        energies = []
        for number in range(6):
            for frame in langevin(Run(start.numbers, minimum.positions.numpy() / ANGSTROM, None, 200.0, number, 3, heat), settings):
                molecule = start.copy()
                molecule.positions, molecule.calc = frame, start.calc
                energies.append(molecule.get_potential_energy() - least)
        means.append(np.mean(energies))
    assert means[1] / means[0] == pytest.approx(2.0, abs=0.3)


def test_names_travel_with_the_frames(tmp_path):
    frames = [geometries.Frame(read(EXAMPLES / "water.xyz")[0].molecule, 3, 300.0, name) for name in ("", 'the "water", 1', "(Z)-2-butene")]
    write(tmp_path / "frames.extxyz", frames, {})
    assert [frame.name for frame in read(tmp_path / "frames.extxyz")] == [frame.name for frame in frames]
