"""`densnet density`: the electron density of one geometry as numbers, cube files and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densnet.errors import DensnetError

if TYPE_CHECKING:
    from rich.table import Table

    from densnet.density.expansion import Density
    from densnet.interfaces.cube import Box
    from densnet.molecules import Molecules

LARGEST_POTENTIAL = 1000.0
"""hartree / e: what a voxel on a nucleus holds instead of infinity."""


class FrameError(DensnetError):
    """A frame that the file does not have."""


def density(
    model: Annotated[str, typer.Argument(help="Model file written by `densnet train`, or the name of a shipped model.")],
    geometry: Annotated[Path, typer.Argument(help="xyz file in Angstrom.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the cube files and the picture.")] = Path("density"),
    frame: Annotated[int, typer.Option(help="Which frame of the file, counted from 1.")] = 1,
    spacing: Annotated[float, typer.Option(help="Angstrom between two voxels.")] = 0.2,
    margin: Annotated[float, typer.Option(help="Angstrom left around the nuclei.")] = 3.0,
) -> None:
    """Predict the electron density of one geometry; print its moments, write cube files and draw how it differs from free atoms.

    Written to the folder: density.cube (total, e/a0^3), correction.cube (density minus free atoms, e/a0^3), potential.cube (electrostatic
    potential of nuclei and electrons, hartree/e) and density.png. A line says how far the geometry is from those of the training.
    """
    import torch
    from rich.console import Console

    from densnet import units
    from densnet.cli.console import activity, say
    from densnet.interfaces.cube import Box
    from densnet.model.predictor import load
    from densnet.molecules import hill, isotopologue
    from densnet.report.isosurface import PictureError, draw_isosurface

    molecule = frame_of(geometry, frame)
    predictor = load(model)
    with torch.no_grad():
        found = predictor.without_forces(molecule).density.to(dtype=torch.float64)
    name = isotopologue(molecule) or hill(molecule.numbers.tolist())
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
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(moments(found, counted, f"{name}, {model}"))
    console.print(charges(found))
    console.print(nearness(predictor.provenance, molecule))
    say(f"written to {out}: {', '.join(written)}")


def frame_of(path: Path, number: int) -> Molecules:
    """Frame ``number``, counted from 1, of an xyz file. Raises `FrameError`."""
    from densnet.reference.geometries import read

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


def moments(density: Density, counted: tuple[float, float], title: str) -> Table:
    """Electrons, dipole and quadrupole; ``counted`` is what the cube files add up to."""
    from rich.table import Table

    from densnet import units

    nuclear = int(density.molecules.numbers.sum())
    dipole = density.dipole()[0] / units.DEBYE
    quadrupole = density.quadrupole()[0] / (units.DEBYE * units.ANGSTROM)
    remarks = "voxels are coarse at the nuclei; the sum over the correction tells what a larger box would hold"
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

    table = Table(title="charges of the atoms, e", caption="a by-product of the expansion, whose functions overlap: no observable")
    for header in ("atom", "", "charge"):
        table.add_column(header, justify="right")
    for k, (number, electrons) in enumerate(zip(density.molecules.numbers.tolist(), density.charges().tolist()), start=1):
        table.add_row(str(k), SYMBOLS[number], f"{-electrons:+.4f}")
    return table


def nearness(provenance: dict, molecule: Molecules) -> str:
    """One line: how far ``molecule`` is from the geometries that the model was trained on, as far as its file tells."""
    from densnet import units
    from densnet.dataset.dataset import formula
    from densnet.molecules import hill
    from densnet.training.coverage import distance

    known, name = provenance.get("coverage"), formula(molecule.numbers)
    if not known:
        return "Distance to the training set: unknown, because the model file does not say what it was trained on."
    away = distance(known, molecule)
    if away is None:
        absent, held = hill(molecule.numbers.tolist()), ", ".join(map(_in_hills_order, known))
        return f"Distance to the training set: it holds no {absent}, only {held}; take the result as an extrapolation."
    radius, away = known[name]["radius"], away / units.ANGSTROM
    told = "as near as the training frames are" if away <= radius else "farther than the training frames are: take care"
    kept, frames = len(known[name]["distances"]), known[name]["frames"]
    return (
        f"Distance to the training set: {away:.3f} A (rms over interatomic distances) to the nearest of {kept} typical frames, "
        f"{told} (95 % of {frames} within {radius:.3f} A)."
    )


def _in_hills_order(formula: str) -> str:
    """The name of a composition in a model file, such as "H6C2O", as it is printed: "C2H6O"."""
    import re

    from densnet.molecules import SYMBOLS, hill

    return hill(SYMBOLS.index(symbol) for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", formula) for _ in range(int(count or 1)))
