"""What a label costs, before and after: the engine of an older commit beside this one on the same frames, and how far they differ.

    python benchmarks/labels.py [--frames 4] [--only water ethanol ...] [--chains 2 3 4] [--before 8137713] [--skip-before] [--out runs/labels]

`--frames` of each of five molecules (held-out lists of labels/), then one chain of each number of rings in `--chains`, torsions at random. The
older engine is taken out of the git history into a temporary folder and converged to 1e-12 hartree for the comparison of the five molecules,
which must agree to 1e-6 hartree and 0.1 meV/A; its time is that of its own defaults. One core, CPU time, the engines in turn. Writes OUT.json.
"""

from __future__ import annotations

import argparse
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
from measuring import machine, machine_line, markdown, markdown_row, write

from densnet.dataset import store
from densnet.molecules import Molecules
from densnet.reference.oligomers import random_thiophenes
from densnet.units import MEV_PER_ANGSTROM
from densnet.workflow.timing import processor

ROOT = Path(__file__).resolve().parent.parent
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
        labels = [label.properties.molecules for label in store.read(ROOT / "labels" / LISTS[name])]
        own = [m for m in labels if len(m.numbers) == len(labels[0].numbers)]
        found[name] = [own[k] for k in np.linspace(0, len(own) - 1, count).round().astype(int)]
    return found


def compare(name: str, molecules: list[Molecules], before: Engine | None, after: Engine, settings: dict, *, tight: bool) -> dict:
    """Means of the times; largest differences of energies (hartree), forces (meV/A) and dipoles (e bohr) to the tightly converged ones."""
    rows = []
    for molecule in molecules:
        new = after.label(molecule, settings)
        row = {"after": new["seconds"]}
        if before is not None:
            old = before.label(molecule, settings)
            exact = before.label(molecule, {**settings, "conv_tol": 1e-12}) if tight else old
            row |= {"before": old["seconds"], "energy": abs(new["energy"] - exact["energy"])}
            row |= {"forces": abs(new["forces"] - exact["forces"]).max() / MEV_PER_ANGSTROM, "dipole": abs(new["dipole"] - exact["dipole"]).max()}
            row |= {"forces_before": abs(old["forces"] - exact["forces"]).max() / MEV_PER_ANGSTROM}
        rows.append(row)
    found = {key: float(np.mean([r[key] for r in rows])) for key in ("before", "after") if key in rows[0]}
    found |= {key: float(max(r[key] for r in rows)) for key in ("energy", "forces", "dipole", "forces_before") if key in rows[0]}
    found |= {"name": name, "atoms": len(molecules[0].numbers), "frames": len(rows), "tight": tight}
    ratio = found["before"] / found["after"] if "before" in found else None
    values = [found.get(key) for key in ("name", "atoms", "frames", "before", "after")]
    differences = [found.get(key) for key in ("energy", "forces", "dipole", "forces_before")]
    print(markdown_row([*values, ratio, *differences]), flush=True)
    return found


HEAD = ["molecule", "atoms", "frames", "before, s", "after, s", "ratio", "dE, hartree", "dF, meV/A", "d(dipole), e bohr", "dF of before, meV/A"]


def main() -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4, help="of each molecule")
    parser.add_argument("--only", nargs="*", default=list(LISTS), choices=list(LISTS), help="of the five molecules")
    parser.add_argument("--chains", nargs="*", type=int, default=[2, 3, 4], help="numbers of rings")
    parser.add_argument("--basis", default="aug-cc-pvdz", help="orbital basis of the chains")
    parser.add_argument("--before", default="8137713", help="commit of the older engine")
    parser.add_argument("--skip-before", action="store_true", help="measure this engine alone")
    parser.add_argument("--out", type=Path, default=Path("runs/labels"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(machine_line() + "; PBE/aug-cc-pVDZ, defaults of `label.scf`\n\n" + markdown(HEAD, []), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        before = None if chosen.skip_before else Engine(checkout(chosen.before, Path(folder)))
        after = Engine(ROOT / "src")
        found = [compare(name, molecules, before, after, {}, tight=True) for name, molecules in frames(chosen.only, chosen.frames).items()]
        for rings in chosen.chains:
            chain = random_thiophenes(rings, np.random.default_rng(rings))
            found.append(compare(f"{rings} thiophenes", [chain], before, after, {"basis": chosen.basis, "memory_mb": 6000}, tight=False))
        for engine in (before, after):
            if engine is not None:
                engine.process.kill()
    write(chosen.out.with_suffix(".json"), {**machine(), "before": chosen.before, "rows": found})
    if any(row["energy"] > 1e-6 or row["forces"] > 0.1 for row in found if row["tight"] and "energy" in row):
        sys.exit("the two engines differ by more than 1e-6 hartree or 0.1 meV/A")


if __name__ == "__main__":
    main()
