"""Do the X-H stretches of trajectories have their share of the energy? python benchmarks/stretches.py FOLDER ... [--record]

Kinetic energy along each X-H bond, mu v^2 with the reduced mass mu and the relative velocity v along the bond: kT on average. Mean over the
bonds of a kind and the length of a trajectory; error: standard error over the replicas.
"""

from __future__ import annotations

from pathlib import Path

import torch
from experiment import Table, conclude, parser
from torch import Tensor

from densnet import units
from densnet.molecules import SYMBOLS, Molecules, neighbours
from densnet.simulation.trajectory import Trajectory, read_trajectory


def stretch_temperatures(run: Trajectory) -> dict[str, Tensor]:
    """By kind of bond, such as "C-H": [replicas] K."""
    symbols = [SYMBOLS[number] for number in run.numbers.tolist()]
    bonds = neighbours(Molecules.single(run.numbers, run.positions[0, 0].double(), run.masses))
    found: dict[str, list[Tensor]] = {}
    for h, around in enumerate(bonds):
        for x in around if symbols[h] == "H" else ():
            axis = (run.positions[:, :, h] - run.positions[:, :, x]).double()
            speed = ((run.velocities[:, :, h] - run.velocities[:, :, x]) * axis).sum(-1) / axis.norm(dim=-1)
            reduced = run.masses[h] * run.masses[x] / (run.masses[h] + run.masses[x])
            found.setdefault(f"{symbols[x]}-H", []).append((reduced * speed**2).mean(1) / units.KELVIN)
    return {kind: torch.stack(every).mean(0) for kind, every in found.items()}


def told(values: Tensor) -> str:
    """Mean and standard error over the replicas."""
    return f"{float(values.mean()):.0f} +- {float(values.std() / len(values) ** 0.5):.0f}"


def main() -> None:
    """Read, print, record."""
    options = parser(__doc__)
    options.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folders of trajectories of one molecule")
    chosen = options.parse_args()
    rows, kinds = [], []
    for folder in chosen.folders:
        run = read_trajectory(folder, every=5)
        found = stretch_temperatures(run)
        kinds = list(found)
        length = f"{len(run.positions)} x {float(run.times[-1]) / units.PICOSECOND:.3g} ps"
        rows.append([length, f"{run.realised.asked:.0f}", told(run.temperature.mean(1)), *map(told, found.values())])
    head = ["replicas", "set, K", "all degrees of freedom, K", *(f"{kind}, K" for kind in kinds)]
    conclude(chosen, "stretches", {"ethanol": Table(head, rows)})


if __name__ == "__main__":
    main()
