"""Where ring polymers put the lines of a molecule that cannot rotate: python benchmarks/nuclei_modes.py [--model water-pbe0] [--record]

Its normal coordinates alone move, on the model's potential: H = 1/2 sum_k P_k^2 + V(Q), without rotation and without the coupling of the
vibrations to it. Lines of this Hamiltonian by the variational method (variational.py, exact), by TRPMD and by classical dynamics, all with
the model's dipole in the frame of the normal modes: what is left between them is the method's own.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from dataclasses import dataclass
from functools import partial

import torch
from experiment import Table, conclude, machine_line, once, parser
from torch import Tensor
from variational import band_limits, centroid, lines

from densnet import units
from densnet.model.forces import with_forces
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.observables.conformers import characterise
from densnet.observables.vibrations import Modes
from densnet.properties import Properties
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.simulation import initial
from densnet.simulation.ensembles import Conditions, Ensemble, Nve
from densnet.simulation.ringpolymer import Trpmd
from densnet.spectra.infrared import from_series
from densnet.spectra.timeseries import Sampling, SeriesSettings

FRICTION, THERMALISATION = 20.0, 0.3
"""1/ps and ps."""


@dataclass(frozen=True)
class NormalCoordinates:
    """A force function of points of unit mass, whose places are the normal coordinates Q of one triatomic molecule."""

    model: Predictor
    modes: Modes

    def point(self, count: int) -> Molecules:
        """``count`` of them at the minimum."""
        at_rest = torch.zeros(1, 3, dtype=torch.float64)
        return Molecules.single([1], at_rest, torch.ones(1, dtype=torch.float64)).copies(at_rest.repeat(count, 1, 1))

    def __call__(self, points: Molecules) -> Properties:
        rest, shapes = self.modes.molecule.positions.double(), self.modes.displacements.double()
        geometries = rest + torch.einsum("pk,kax->pax", points.positions, shapes)
        found = with_forces(self.model, self.modes.molecule.copies(geometries))
        pull = torch.einsum("pax,kax->pk", found.forces.double().view_as(geometries), shapes)
        return Properties(points, found.energy.double(), pull, found.dipole.double())


def dipoles(coordinates: NormalCoordinates, ensemble: Ensemble, replicas: int, chosen) -> Tensor:
    """[replicas, steps, 3] along a trajectory."""
    many = coordinates.point(replicas)
    freedom = torch.full((replicas,), 3.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(chosen.seed)
    about = Conditions(chosen.timestep * units.FEMTOSECOND, chosen.temperature * units.KELVIN, freedom, generator)
    state = ensemble.begin(coordinates, many, initial.maxwell_boltzmann(many, 2 * about.temperature, generator), about)
    warm = ensemble.thermalisation(FRICTION).step(coordinates, many, about)
    for _ in range(round(1000 * THERMALISATION / chosen.timestep)):
        state = warm(state)
    step, seen = ensemble.step(coordinates, many, about), []
    for _ in range(round(1000 * chosen.picoseconds / chosen.timestep)):
        state = step(state)
        seen.append(state.dipole)
    return torch.stack(seen, 1)


def bands(coordinates: NormalCoordinates, ensemble: Ensemble, replicas: int, chosen) -> list[list[float]]:
    """Centroid and its error, cm^-1, of each band."""
    series, step = dipoles(coordinates, ensemble, replicas, chosen), chosen.timestep * units.FEMTOSECOND
    settings = SeriesSettings(depth=chosen.depth, maximum=4200.0)
    spectrum = from_series(series.numpy(), Sampling(step, step, chosen.temperature), settings=settings)
    found = [spectrum.band(*limits) for limits in band_limits(coordinates.modes)]
    return [[band.centroid, band.centroid_error] for band in found]


def main() -> None:
    """Run what has not been run, compare."""
    options = parser(__doc__, "runs/nuclei-modes")
    options.add_argument("--model", default="water-pbe0", help="shipped name, of a triatomic molecule")
    options.add_argument("--beads", type=int, nargs="+", default=[1, 32])
    options.add_argument("--replicas", type=int, default=24, help="of ring polymers; four times as many of classical nuclei")
    options.add_argument("--picoseconds", type=float, default=1.0)
    options.add_argument("--timestep", type=float, default=0.5, help="fs")
    options.add_argument("--temperature", type=float, default=300.0, help="K")
    options.add_argument("--depth", type=float, default=512.0, help="fs, window on the correlation")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    model = load(chosen.model)
    start = read(shipped.geometries(chosen.model))[0].molecule
    modes = characterise(load(chosen.model).double(), start, chosen.model).modes
    coordinates = NormalCoordinates(model, modes)
    exact, turning = (lines(load(chosen.model).double().without_forces, modes, rotating=own) for own in (False, True))
    rows = []
    for beads in chosen.beads:
        ensemble, replicas = (Trpmd(beads=beads), chosen.replicas) if beads > 1 else (Nve(), 4 * chosen.replicas)
        name = f"{chosen.model}-{beads}beads-{chosen.temperature:g}K-{replicas}x{chosen.picoseconds:g}ps-{chosen.timestep:g}fs"
        found = once(chosen.out / f"{name}.json", partial(bands, coordinates, ensemble, replicas, chosen))
        for limits, (line, error) in zip(band_limits(modes), found):
            true = exact.band(*limits)[0]
            rows.append([
                "{:.0f}-{:.0f}".format(*limits), "classical" if beads == 1 else f"TRPMD, {beads} beads",
                f"{centroid(modes, modes.frequencies, limits):.1f}", f"{turning.band(*limits)[0]:.1f}", f"{true:.1f}",
                f"{line:.1f} +- {error:.1f}", f"{line - true:+.1f}",
            ])  # fmt: skip
    head = ["band", "nuclei", "harmonic", "exact", "exact, normal coordinates alone", "dynamics of these", "difference"]
    conclude(chosen, "nuclei", {f"{chosen.model}-modes": Table(head, rows)})


if __name__ == "__main__":
    main()
