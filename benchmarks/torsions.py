"""The two torsions of ethanol, model against DFT at the same geometries.

    python benchmarks/torsions.py [--model ethanol] [--out runs/torsions]

H-O-C-C all around, and H-C-C-O of the methyl group in the trans conformer, each relative to its own lowest geometry. The geometries were
relaxed once with the angle held (labels/torsions.py) and labelled like all others (labels/ethanol/torsions.001.h5); a few seconds.
Prints both profiles, writes OUT.json and OUT.png. The aim is 1 meV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import LABELS, Table, machine, machine_line, parser, record, write

from densnet import units
from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules, neighbours
from densnet.observables import coordinates
from densnet.report import style

TORSIONS = LABELS / "ethanol" / "torsions.001.h5"
NAMES = {300: "H-O-C-C", 301: "H-C-C-O of the methyl group, trans"}
TITLES = {300: "O-H torsion, H-O-C-C", 301: "CH$_3$ torsion, H-C-C-O (trans)"}
LIMIT = 1.0
"""meV."""


@dataclass(frozen=True)
class Profile:
    """Degrees in ascending order, and meV above the lowest labelled geometry, of the reference and of the model."""

    angles: np.ndarray
    reference: np.ndarray
    model: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        """meV, model less reference."""
        return self.model - self.reference

    def around(self, first: float) -> Profile:
        """The whole turn, for drawing: the profile and its mirror images at both ends, from ``first`` degrees on.

        Exact for the O-H torsion; for the methyl group to the degree by which its hydrogens are not a third of a turn apart.
        """
        low, high = self.angles[0], self.angles[-1]
        turns = [(self.angles + 2 * (high - low) * k, s) for k in range(-4, 5) for s in (self,)]
        turns += [(2 * low - self.angles + 2 * (high - low) * k, self) for k in range(-4, 5)]
        angles = np.concatenate([a for a, _ in turns])
        angles, index = np.unique(angles.round(3), return_index=True)
        inside = (angles >= first) & (angles <= first + 360)
        reference, model = (np.concatenate([getattr(p, name) for _, p in turns])[index][inside] for name in ("reference", "model"))
        return Profile(angles[inside], reference, model)


def angle(molecule: Molecules, torsion: int) -> float:
    """Degrees, 0 to 180, of the torsion that was held: H-O-C-C (300), or H-C-C-O of the first hydrogen of the methyl group (301)."""
    bonded, numbers = neighbours(molecule), molecule.numbers.tolist()
    oxygen = numbers.index(8)
    near = next(a for a in bonded[oxygen] if numbers[a] == 6)
    far = next(a for a in bonded[near] if numbers[a] == 6)
    centre, rest = {300: (oxygen, (oxygen, near, far)), 301: (far, (far, near, oxygen))}[torsion]
    hydrogen = next(a for a in bonded[centre] if numbers[a] == 1)
    return abs(math.degrees(coordinates.torsion(hydrogen, *rest)(molecule.positions)))


def profiles(predictor: Predictor, labels: Dataset) -> dict[int, Profile]:
    """By trajectory, one a torsion."""
    found = {}
    for torsion in NAMES:
        frames = [label.properties for label in labels if label.trajectory == torsion]
        energies = [(float(f.energy), float(predictor(f.molecules).energy)) for f in frames]
        angles = np.array([angle(f.molecules, torsion) for f in frames])
        order = np.argsort(angles)
        reference, model = np.array(energies).T[:, order] / units.MEV
        lowest = reference.argmin()
        found[torsion] = Profile(angles[order], reference - reference[lowest], model - model[lowest])
    return found


@style.styled
def draw(found: dict[int, Profile], path: Path) -> None:
    """Profiles above, deviations below."""
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 4.6), sharex="col", height_ratios=[3, 2], layout="constrained")
    for column, (torsion, profile) in enumerate(found.items()):
        first = (-180.0, -60.0)[column]
        whole = profile.around(first)
        upper, lower = axes[:, column]
        upper.plot(whole.angles, whole.reference, "o", color=style.INK, markersize=3.5, label="DFT")
        upper.plot(whole.angles, whole.model, color=style.BLUE, label="model")
        upper.set_title(TITLES[torsion])
        lower.axhspan(-LIMIT, LIMIT, color=style.FAINT, alpha=0.5, linewidth=0)
        lower.plot(whole.angles, whole.deviation, "o-", color=style.BLUE, markersize=3)
        lower.set_xticks(np.arange(first, first + 361, 60))
        lower.set_xlabel("angle, degrees")
        reach = max(1.3 * LIMIT, 1.2 * float(np.abs(whole.deviation).max()))
        lower.set_ylim(-reach, reach)
    axes[0, 0].set_ylabel("energy, meV")
    axes[1, 0].set_ylabel("model $-$ DFT, meV")
    axes[0, 1].legend(loc="upper right", bbox_to_anchor=(1.0, 1.16), ncols=2, borderaxespad=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160, facecolor="white")
    plt.close(figure)


def main() -> None:
    """Compare, print, draw."""
    options = parser(__doc__, "runs/torsions")
    options.add_argument("--model", default="ethanol", help="model file or shipped name")
    options.add_argument("--labels", type=Path, default=TORSIONS)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    labels = store.read(chosen.labels)
    found = profiles(load(chosen.model), labels)
    print(f"model `{chosen.model}`; labels: {labels.level['xc']}/{labels.level['basis']}; {machine_line()}")
    summary, rows = {}, []
    for torsion, profile in found.items():
        off = np.abs(profile.deviation)
        print(f"\n{NAMES[torsion]}, {len(off)} geometries, barrier {profile.reference.max():.1f} meV\n")
        columns = zip(profile.angles, profile.reference, profile.model, profile.deviation)
        points = [[f"{degrees:.0f}", *(f"{value:.2f}" for value in row)] for degrees, *row in columns]
        print(Table(["angle, degrees", "DFT, meV", "model, meV", "model - DFT, meV"], points).markdown())
        verdict = "within" if off.max() <= LIMIT else "NOT within"
        print(f"\n|model - DFT|: mean {off.mean():.2f}, largest {off.max():.2f} meV: {verdict} {LIMIT:g} meV", flush=True)
        rows.append([NAMES[torsion], len(off), float(profile.reference.max()), f"{off.mean():.2f} / {off.max():.2f}"])
        values = {"angles": profile.angles, "reference_meV": profile.reference, "model_meV": profile.model}
        summary[NAMES[torsion]] = {name: values[name].round(4).tolist() for name in values}
        summary[NAMES[torsion]] |= {"mean_meV": float(off.mean()), "largest_meV": float(off.max())}
    draw(found, chosen.out.with_suffix(".png"))
    write(chosen.out.with_suffix(".json"), {"model": chosen.model, **machine(), "torsions": summary})
    if chosen.record:
        head = ["torsion", "geometries", "barrier, meV", "model - DFT, mean / largest, meV"]
        record("torsions", {chosen.model: Table(head, rows)}, vars(chosen))


if __name__ == "__main__":
    main()
