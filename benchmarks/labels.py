"""What a label costs, before and after: the engine of an older commit beside this one on the same frames, and how far they differ.

    python benchmarks/labels.py [--frames 4] [--only water ethanol ...] [--chains 2 3 4] [--before 8137713] [--skip-before] [--record]

`--frames` of each of five molecules (lists of labels/), then one chain of each number of rings in `--chains`, torsions at random. The older
engine is taken out of the git history into a temporary folder and converged to 1e-12 hartree for the comparison of the five molecules,
which must agree to 1e-6 hartree and 0.1 meV/A; its time is that of its own defaults. One core, CPU time, the engines in turn.
"""

from __future__ import annotations

import io
import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from experiment import LABELS, ROOT, Table, machine_line, markdown_row, parser, record

from densnet.dataset import store
from densnet.molecules import Molecules
from densnet.reference.oligomers import random_thiophenes
from densnet.units import MEV_PER_ANGSTROM

LISTS = {
    "water": "water/heldout_300K.001.h5", "ethanol": "ethanol/heldout_300K.001.h5", "ethanethiol": "ethanethiol/heldout_300K.001.h5",
    "resorcinol": "resorcinol/heldout_300K.001.h5", "thiophene": "thiophenes/start.h5",
}  # fmt: skip
WORKER = """
import json, sys, time
import numpy as np, torch
from densnet.molecules import Molecules
from densnet.reference.scf import ScfSettings, calculate
torch.set_num_threads(1)
for line in sys.stdin:
    job = json.loads(line)
    molecule = Molecules.single(job["numbers"], torch.tensor(job["positions"], dtype=torch.float64))
    began = time.process_time()
    found = calculate(molecule, ScfSettings(**job["settings"]))
    seconds = time.process_time() - began
    answer = {"seconds": seconds, "energy": float(found.energy), "forces": found.forces.tolist(), "dipole": found.dipole[0].tolist()}
    print(json.dumps(answer), flush=True)
"""


class Engine:
    """A process that labels with the package under ``source``."""

    def __init__(self, source: Path):
        environment = {**os.environ, "PYTHONPATH": str(source)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def label(self, molecule: Molecules, settings: dict) -> dict:
        """CPU seconds, energy, forces, dipole; atomic units."""
        job = {"numbers": molecule.numbers.tolist(), "positions": molecule.positions.tolist(), "settings": settings}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return {**answer, "forces": np.array(answer["forces"]), "dipole": np.array(answer["dipole"])}


def checkout(commit: str, folder: Path) -> Path:
    """The package as it was at ``commit``."""
    archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "src"


def frames(names: list[str], count: int) -> dict[str, list[Molecules]]:
    """So many of each molecule, evenly over its list."""
    found = {}
    for name in names:
        labels = [label.properties.molecules for label in store.read(LABELS / LISTS[name])]
        own = [m for m in labels if len(m.numbers) == len(labels[0].numbers)]
        found[name] = [own[k] for k in np.linspace(0, len(own) - 1, count).round().astype(int)]
    return found


COLUMNS = [
    "molecule", "atoms", "frames", "before, s", "after, s", "ratio", "dE, hartree", "dF, meV/A", "d(dipole), e bohr", "dF of before, meV/A",
]  # fmt: skip


def compare(name: str, molecules: list[Molecules], before: Engine | None, after: Engine, settings: dict, *, tight: bool) -> list:
    """A row: means of the times, largest differences to the older engine, tightly converged or not, and of that to its own defaults."""
    rows = []
    for molecule in molecules:
        new = after.label(molecule, settings)
        row = {"after": new["seconds"]}
        if before is not None:
            old = before.label(molecule, settings)
            exact = before.label(molecule, {**settings, "conv_tol": 1e-12}) if tight else old
            row |= {"before": old["seconds"], "dipole": abs(new["dipole"] - exact["dipole"]).max()}
            row |= {"energy": abs(new["energy"] - exact["energy"]), "forces": abs(new["forces"] - exact["forces"]).max() / MEV_PER_ANGSTROM}
            row |= {"own": abs(old["forces"] - exact["forces"]).max() / MEV_PER_ANGSTROM if tight else None}
        rows.append(row)

    def over(key: str, combine) -> float | None:
        values = [row.get(key) for row in rows]
        return None if None in values else float(combine(values))

    was, now = over("before", np.mean), over("after", np.mean)
    found = [name, len(molecules[0].numbers), len(rows), was, now, was and was / now]
    found += [over(key, max) for key in ("energy", "forces", "dipole", "own")]
    print(markdown_row(found), flush=True)
    return found


def main() -> None:
    """Measure, print, judge."""
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=4, help="of each molecule")
    options.add_argument("--only", nargs="*", default=list(LISTS), choices=list(LISTS), help="of the five molecules")
    options.add_argument("--chains", nargs="*", type=int, default=[2, 3, 4], help="numbers of rings")
    options.add_argument("--basis", default="aug-cc-pvdz", help="orbital basis of the chains")
    options.add_argument("--before", default="8137713", help="commit of the older engine")
    options.add_argument("--skip-before", action="store_true", help="measure this engine alone")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(f"{machine_line()}; PBE/aug-cc-pVDZ, defaults of `label.scf`\n\n{Table(COLUMNS, []).markdown()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        before = None if chosen.skip_before else Engine(checkout(chosen.before, Path(folder)))
        after = Engine(ROOT / "src")
        rows = [compare(name, molecules, before, after, {}, tight=True) for name, molecules in frames(chosen.only, chosen.frames).items()]
        five = len(rows)
        for rings in chosen.chains:
            chain = random_thiophenes(rings, np.random.default_rng(rings))
            settings = {"basis": chosen.basis, "memory_mb": 6000}
            rows.append(compare(f"{rings} thiophenes", [chain], before, after, settings, tight=False))
        for engine in (before, after):
            if engine is not None:
                engine.process.kill()
    if chosen.record:
        record("labels", {"engines": Table(COLUMNS, rows)}, vars(chosen))
    if before is not None and any(row[6] > 1e-6 or row[7] > 0.1 for row in rows[:five]):
        sys.exit("the two engines differ by more than 1e-6 hartree or 0.1 meV/A")


if __name__ == "__main__":
    main()
