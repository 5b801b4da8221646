"""`densnet density`: the electron density of one geometry as numbers, cube files and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densnet.cli.console import JsonFile
from densnet.errors import DensnetError

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from densnet.density.expansion import Density
    from densnet.interfaces.cube import Box
    from densnet.model.predictor import Predictor
    from densnet.molecules import Molecules

LARGEST_POTENTIAL = 1000.0
"""hartree / e: what a voxel on a nucleus holds instead of infinity."""


class FieldError(DensnetError):
    """A direction that is none."""


class FrameError(DensnetError):
    """A frame that the file does not have."""


def density(
    model: Annotated[
        str, typer.Argument(help="Model file written by `densnet train`, or name of a shipped model; may be left out: `organic`.")
    ],
    geometry: Annotated[
        str | None, typer.Argument(help="xyz file in Angstrom, or a SMILES, of which the most frequent conformer is taken.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the cube files and the figure.")] = Path("density"),
    frame: Annotated[int, typer.Option(help="Number of the frame in the file, or of the conformer, counted from 1.")] = 1,
    spacing: Annotated[float, typer.Option(help="Grid spacing in Angstrom.")] = 0.2,
    margin: Annotated[float, typer.Option(help="Margin of the box around the nuclei in Angstrom.")] = 3.0,
    field: Annotated[
        str | None, typer.Option(help="x, y or z: density induced by a static electric field in this direction, and polarizability.")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Predict the electron density of one geometry; print its moments, write cube files and plot its difference from free atoms.

    With --field, instead: response-x.cube (change of the density per atomic unit of the field, e/a0^3), response-x.png and the
    polarizability. The model must have learned it (`densnet train --response`).

    Files written: density.cube (total, e/a0^3), correction.cube (density minus free atoms, e/a0^3), potential.cube (electrostatic
    potential of nuclei and electrons, hartree/e) and density.png. The distance of the geometry from the training frames is printed.
    """
    import torch

    from densnet import units
    from densnet.cli.console import activity, say, show
    from densnet.interfaces.cube import Box
    from densnet.model.predictor import load
    from densnet.model.shipped import GENERAL
    from densnet.molecules import formula_of
    from densnet.report.isosurface import PictureError, draw_isosurface

    if geometry is None:
        model, geometry = GENERAL, model
    molecule = frame_of(geometry, frame)
    predictor = load(model)
    if field is not None:
        in_field(predictor, molecule, field, Box.around(molecule, spacing * units.ANGSTROM, margin * units.ANGSTROM), out, json)
        return
    with torch.no_grad():
        found = predictor.without_forces(molecule).density.to(dtype=torch.float64)
    name = formula_of(molecule)
    box = Box.around(molecule, spacing * units.ANGSTROM, margin * units.ANGSTROM)
    out.mkdir(parents=True, exist_ok=True)
    with activity("writing cube files") as progress:
        counted = write_cubes(found, box, out, f"{name}, model {Path(model).name}", progress)
    written = ["density.cube", "correction.cube", "potential.cube"]
    try:
        with activity("drawing density.png"):
            draw_isosurface(out / "density.png", found.to(dtype=torch.float32), title=f"{name}, predicted by {Path(model).stem}")
        written.append("density.png")
    except PictureError as error:
        (out / "density.png").unlink(missing_ok=True)  # that of another geometry
        say(f"no density.png: {error}")
    near = nearness(predictor.provenance, molecule)
    show(figures(found, near), json, moments(found, counted, f"{name}, {model}"), charges(found), near)
    say(f"written to {out}: {', '.join(written)}")


def frame_of(geometry: str, number: int) -> Molecules:
    """Frame ``number``, counted from 1, of an xyz file, or conformer ``number`` of a SMILES. Raises `FrameError`."""
    from densnet.cli.console import activity
    from densnet.frames.smiles import is_smiles
    from densnet.reference.geometries import read
    from densnet.workflow.search import SearchSettings, search

    path = Path(geometry)
    if is_smiles(geometry) and not path.is_file():
        with activity("conformers") as progress:
            found = [molecule for _, molecule, _ in search(geometry, SearchSettings(), progress)]
        if not 1 <= number <= len(found):
            raise FrameError(f"`--frame` is {number}, but {geometry} has conformers 1 to {len(found)}.")
        return found[number - 1]
    frames = read(path)
    if not 1 <= number <= len(frames):
        raise FrameError(f"`--frame` is {number}, but {path} has frames 1 to {len(frames)}.")
    return frames[number - 1].molecule


def write_cubes(density: Density, box: Box, out: Path, about: str, progress) -> tuple[float, float]:
    """The three files; gives the sums of the density and of the correction over the voxels, electrons."""
    from densnet.interfaces import cube

    def potential(points):
        return density.potential(points).clamp(max=LARGEST_POTENTIAL)

    fields = {
        "density": (density.total, "electron density, e/bohr^3"),
        "correction": (density.values, "electron density minus superposed free atoms, e/bohr^3"),
        "potential": (potential, f"electrostatic potential of nuclei and electrons, hartree/e, at most {LARGEST_POTENTIAL:g}"),
    }
    sums = []
    for done, (name, (field, meaning)) in enumerate(fields.items()):
        progress(done, len(fields), f"writing {name}.cube")
        sums.append(cube.write(out / f"{name}.cube", density.molecules, box, field, f"{meaning}; {about}"))
    return sums[0], sums[1]


def in_field(predictor: Predictor, molecule: Molecules, axis: str, box: Box, out: Path, json: Path | None) -> None:
    """Cube file and picture of the density induced along ``axis``; prints the polarizability. Raises `FieldError`, `ResponseMissing`."""
    import torch

    from densnet.cli.console import say, show
    from densnet.interfaces import cube
    from densnet.report.isosurface import PictureError, draw_isosurface

    if axis not in tuple("xyz"):
        raise FieldError(f"`--field` is {axis!r}, but must be x, y or z.")
    with torch.no_grad():
        found = predictor.respond(molecule)
    induced = found.response.along(torch.eye(3)["xyz".index(axis)]).to(dtype=torch.float64)
    out.mkdir(parents=True, exist_ok=True)
    name, comment = f"response-{axis}", f"change of the electron density in a field along {axis}, e/bohr^3 per atomic unit of the field"
    cube.write(out / f"{name}.cube", molecule, box, induced.values, comment)
    written = [f"{name}.cube"]
    try:
        draw_isosurface(out / f"{name}.png", induced.to(dtype=torch.float32), title=f"density induced by a field along {axis}")
        written.append(f"{name}.png")
    except PictureError as error:
        say(f"no {name}.png: {error}")
    alpha = found.polarizability[0].double()
    charges = found.response.charges()[:, "xyz".index(axis)]
    about = {"polarizability_au": alpha.tolist(), f"electrons_gained_along_{axis}_au": charges.tolist()}
    show(about, json, polarizability(alpha))
    say(f"written to {out}: {', '.join(written)}")


def polarizability(alpha: Tensor) -> Table:
    """The tensor [3, 3] (bohr^3) and its mean."""
    from rich.table import Table

    from densnet import units

    volume = units.ANGSTROM**3
    table = Table(title="static polarizability", caption=f"1 bohr^3 = {1 / volume:.6f} A^3 = {1 / units.POLARIZABILITY:.6f} e A^2/V")
    for title in ("bohr^3", "x", "y", "z"):
        table.add_column(title, justify="right")
    for axis, row in zip("xyz", alpha.tolist()):
        table.add_row(axis, *(f"{value:z.3f}" for value in row))
    mean = float(alpha.trace()) / 3
    table.add_row("mean", f"{mean:.3f}", f"{mean / volume:.3f} A^3", "")
    return table


def figures(density: Density, near: str) -> dict:
    """What the tables show, as plain data."""
    from densnet import units

    return {
        "electrons": int(density.molecules.numbers.sum()) + float(density.electrons()[0]),
        "dipole_D": (density.dipole()[0] / units.DEBYE).tolist(),
        "quadrupole_D_A": (density.quadrupole()[0] / units.DEBYE_ANGSTROM).tolist(),
        "charges_e": (-density.charges()).tolist(),
        "distance_to_training": near,
    }


def moments(density: Density, counted: tuple[float, float], title: str) -> Table:
    """Electrons, dipole and quadrupole; ``counted`` is what the cube files add up to."""
    from rich.table import Table

    from densnet import units

    nuclear = int(density.molecules.numbers.sum())
    dipole = density.dipole()[0] / units.DEBYE
    quadrupole = density.quadrupole()[0] / units.DEBYE_ANGSTROM
    remarks = "the grid is coarse at the nuclei; the sum over the correction shows what lies outside the box"
    convention = "quadrupole: 1/2 sum q (3 r r - r^2), traceless (Buckingham), about the centre of mass"
    table = Table(title=title, caption=f"{remarks}\n{convention}")
    table.add_column("")
    for axis in ("value", "x", "y", "z"):
        table.add_column(axis, justify="right")
    table.add_row("electrons", f"{nuclear + float(density.electrons()[0]):.6f}")
    table.add_row("  sum over density.cube", f"{counted[0]:.4f}")
    table.add_row("  sum over correction.cube", f"{counted[1]:z.4f}")
    table.add_row("dipole, D", f"{float(dipole.norm()):.4f}", *(f"{x:z.4f}" for x in dipole.tolist()))
    for axis, row in zip("xyz", quadrupole.tolist()):
        table.add_row(f"quadrupole {axis}, D A", "", *(f"{x:z.4f}" for x in row))
    return table


def charges(density: Density) -> Table:
    """Charge of each atom's functions."""
    from rich.table import Table

    from densnet.molecules import SYMBOLS

    table = Table(title="charges of the atoms, e", caption="by-product of the expansion in overlapping functions; not an observable")
    for header in ("atom", "", "charge"):
        table.add_column(header, justify="right")
    for k, (number, electrons) in enumerate(zip(density.molecules.numbers.tolist(), density.charges().tolist()), start=1):
        table.add_row(str(k), SYMBOLS[number], f"{-electrons:+.4f}")
    return table


def nearness(provenance: dict, molecule: Molecules) -> str:
    """One line: how far ``molecule`` is from the geometries that the model was trained on, as far as its file tells."""
    from densnet import units
    from densnet.dataset.dataset import formula
    from densnet.molecules import hill, in_hills_order
    from densnet.training.coverage import distance

    known, name = provenance.get("coverage"), formula(molecule.numbers)
    if not known:
        return "Distance to the training set: unknown, because the model file does not record its training frames."
    away = distance(known, molecule)
    if away is None:
        absent, held = hill(molecule.numbers.tolist()), ", ".join(map(in_hills_order, known))
        return f"Distance to the training set: it contains no {absent}, only {held}; the result is an extrapolation."
    radius, away = known[name]["radius"], away / units.ANGSTROM
    told = "as close as the training frames" if away <= radius else "farther than the training frames: use with care"
    kept, frames = len(known[name]["distances"]), known[name]["frames"]
    return (
        f"Distance to the training set: {away:.3f} A (rms over interatomic distances) to the nearest of {kept} typical frames, "
        f"{told} (95 % of {frames} within {radius:.3f} A)."
    )
