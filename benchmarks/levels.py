"""Levels of theory against fundamentals and band intensities of the gas: python benchmarks/levels.py run | tables

    python benchmarks/levels.py run water formaldehyde --levels PBE/aug-cc-pvdz B3LYP/aug-cc-pvdz
    python benchmarks/levels.py [--record] tables

`run`: geometry, harmonic analysis and VPT2 of the molecules of benchmarks/levels.toml at each level, by PySCF with density fitting and
forces that hold the response of the grid. Every gradient is kept under runs/levels as soon as it is there, so that a run may be stopped
and started again. What came out goes into benchmarks/levels.json. `tables`: that file as tables.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import time
import tomllib
from itertools import combinations, product
from pathlib import Path
from statistics import median

import numpy as np
import torch
from experiment import conclude, machine, parser, write
from levels_judge import tables
from pyscf import dft, gto, lib
from pyscf.data.elements import ELEMENTS
from scipy.linalg import sqrtm

from densnet import units
from densnet.molecules import Molecules
from densnet.observables.anharmonic import SOFTEST, ForceConstants, anharmonicity, levels, resonances, rotation
from densnet.observables.vibrations import Modes, normal_modes, relax
from densnet.properties import Properties

HERE = Path(__file__).resolve().parent
ANALYSES = HERE / "levels.json"
"""Wavenumbers, intensities, symmetries and resonances of each molecule at each level."""

KEPT = Path("runs/levels")
GRID = (40, 434)
"""Radial points and largest Lebedev shell of every atom: the grid of the labels."""

STEP = 0.08
"""Displacement in dimensionless normal coordinates."""

SAME = 1e-8
"""bohr: two geometries nearer than this are one."""


class Reference:
    """Energy, forces and dipole at a level such as ``PBE0/aug-cc-pvdz``: a force function that remembers in a file of JSON lines.

    Geometries that a symmetry operation of the molecule (``signs`` of the axes, ``order`` of the atoms) turns into one that is known cost
    nothing. The SCF starts from the density matrices of the geometries before, extrapolated.
    """

    def __init__(self, level: str, path: Path, operations: list[tuple[np.ndarray, np.ndarray]]):
        self.xc, self.basis = level.split("/")
        self.path, self.operations, self.passed = path, operations, []
        path.parent.mkdir(parents=True, exist_ok=True)
        self.known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self.known = [{**one, **{k: np.array(one[k]) for k in ("positions", "forces", "dipole")}} for one in self.known]

    def __call__(self, molecules: Molecules) -> Properties:
        numbers = molecules.numbers.reshape(molecules.count, -1)[0].tolist()
        positions = molecules.positions.detach().double().reshape(molecules.count, -1, 3).numpy()
        found = [self._look_up(x) or self._calculate(numbers, x) for x in positions]
        energy, forces, dipole = (np.array(values) for values in zip(*found))
        return Properties(
            molecules, energy=torch.from_numpy(energy), forces=torch.from_numpy(forces.reshape(-1, 3)), dipole=torch.from_numpy(dipole)
        )

    def _look_up(self, positions: np.ndarray):
        if not self.known:
            return None
        table = np.array([one["positions"] for one in self.known])
        for signs, order in self.operations:
            off = abs(table - (signs * positions)[order]).max((1, 2))
            if off.min() < SAME:
                one, back = self.known[int(off.argmin())], np.argsort(order)
                return one["energy"], signs * one["forces"][back], signs * one["dipole"]
        return None

    def _calculate(self, numbers: list[int], positions: np.ndarray):
        began = time.process_time()
        mean = self._mean_field(numbers, positions)
        root = sqrtm(mean.get_ovlp()).real
        guess = self._guess(positions, root)
        mean.kernel(guess)
        if not mean.converged:
            raise RuntimeError(f"{self.path}: the SCF did not converge")
        orbitals = mean.mo_coeff[:, mean.mo_occ > 0]
        self.passed.append((positions, root @ orbitals @ orbitals.T @ root))
        converged = time.process_time()
        slope = mean.nuc_grad_method()
        slope.grid_response = True
        one = {
            "energy": mean.e_tot,
            "forces": -slope.kernel(),
            "dipole": mean.dip_moment(unit="AU", verbose=0),
            "cycles": mean.cycles,
            "scf_s": converged - began,
            "gradient_s": time.process_time() - converged,
            "cold": guess is None,
            "positions": positions,
        }
        self.known.append(one)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in one.items()}) + "\n")
        return one["energy"], one["forces"], one["dipole"]

    def _guess(self, positions: np.ndarray, root: np.ndarray) -> np.ndarray | None:
        """The density matrix of the sum of orthonormalised ones whose weights, 1 in all, give the geometry best; ``root`` is S^1/2."""
        if not self.passed:
            return None
        before, projectors = (np.array(values) for values in zip(*self.passed))
        before = before.reshape(len(before), -1)
        rows = np.vstack([before.T, 100 * np.ones(len(before)), 1e-3 * np.eye(len(before))])
        wanted = np.concatenate([positions.ravel(), [100], np.zeros(len(before))])
        projector = np.tensordot(np.linalg.lstsq(rows, wanted, rcond=None)[0], projectors, 1)
        occupied = round(float(np.trace(projectors[0])))
        orbitals = np.linalg.solve(root, np.linalg.eigh(projector)[1][:, -occupied:])
        return 2 * orbitals @ orbitals.T

    def _mean_field(self, numbers: list[int], positions: np.ndarray):
        atoms = [(ELEMENTS[z], x) for z, x in zip(numbers, positions)]
        mol = gto.M(atom=atoms, unit="Bohr", basis=self.basis, verbose=0, max_memory=3000)
        mean = dft.RKS(mol, xc=self.xc).density_fit()
        mean.grids.atom_grid = {ELEMENTS[z]: GRID for z in set(numbers)}
        mean.grids.prune = dft.gen_grid.nwchem_prune
        mean.conv_tol, mean.conv_tol_grad = 1e-11, 3e-7
        return mean

    def cost(self) -> dict:
        """Median CPU seconds of an SCF that starts from a neighbour and of the gradient, and how many there are."""
        warm = [one for one in self.known if not one["cold"]] or self.known
        return {
            "gradients": len(self.known),
            "cycles": median(one["cycles"] for one in warm),
            "scf_s": round(median(one["scf_s"] for one in warm), 2),
            "gradient_s": round(median(one["gradient_s"] for one in warm), 2),
        }


def operations(numbers: np.ndarray, positions: np.ndarray, tolerance: float = 1e-2) -> list[tuple[np.ndarray, np.ndarray]]:
    """Signs of the axes and the orders of the atoms that leave the molecule as it is: of D2h and its subgroups."""
    found = []
    for signs in product((1, -1), repeat=3):
        off = abs(positions[:, None] - np.array(signs) * positions).max(2) + (numbers[:, None] != numbers)
        if (off.min(1) < tolerance).all():
            found.append((np.array(signs), off.argmin(1)))
    return found


def symmetrised(positions: np.ndarray, group) -> np.ndarray:
    """The mean over the images of the molecule."""
    return np.mean([(signs * positions)[order] for signs, order in group], axis=0)


def characters(modes: Modes, group) -> list[tuple[int, ...]]:
    """Of each mode under each operation."""
    vectors = modes.vectors.numpy()
    found = np.array([[np.vdot(v, (signs * v)[order]) for signs, order in group] for v in vectors])
    if abs(abs(found) - 1).max() > 0.05:
        raise RuntimeError("modes of different symmetry are mixed")
    return [tuple(row) for row in found.round().astype(int).tolist()]


def force_constants(reference: Reference, modes: Modes, step: float) -> ForceConstants:
    """As `densnet.observables.anharmonic.force_constants`, from half the geometries.

    These are slopes g at rest, at +-h and +-2h along each mode and at +-(h, h) along each two modes.

    With the even and odd parts E, O of g (less that at rest): ``phi_ijk = [E_k(i + j) - E_k(i) - E_k(j)] / h^2``,
    ``phi_iiij = [O_j(2i) - 2 O_j(i)] / h^3`` and ``phi_iijj = 2 [O_i(i + j) - O_i(i) - O_i(j)] / h^3 - phi_iiij``, mean over i and j.
    """
    w, count = modes.eigenvalues.sqrt(), len(modes.eigenvalues)
    moves = modes.displacements.double() / w.sqrt()[:, None, None]
    one = step * torch.eye(count, dtype=torch.float64)
    pairs = list(combinations(range(count), 2))
    steps = torch.cat([one, 2 * one, torch.stack([one[i] + one[j] for i, j in pairs])]) if pairs else torch.cat([one, 2 * one])
    steps = torch.cat([torch.zeros(1, count, dtype=torch.float64), steps, -steps])
    geometries = modes.molecule.positions.double() + torch.einsum("pk,kax->pax", steps, moves)
    forces = reference(Molecules.replicas(modes.molecule.numbers, geometries)).forces.reshape(geometries.shape)
    slopes = -torch.einsum("pax,kax->pk", forces, moves)
    ahead, behind = slopes[1:].chunk(2)
    even, odd = (ahead + behind) / 2 - slopes[0], (ahead - behind) / 2
    cubic = torch.zeros(count, count, count, dtype=torch.float64)
    quartic = torch.diag((odd[count : 2 * count] - 2 * odd[:count]).diagonal() / step**3)
    for i in range(count):
        cubic[i, i] = 2 * even[i] / step**2
    thrice = (odd[count : 2 * count] - 2 * odd[:count]) / step**3  # [i, j]: phi_iiij
    for (i, j), e, o in zip(pairs, even[2 * count :], odd[2 * count :]):
        cubic[i, j] = cubic[j, i] = (e - even[i] - even[j]) / step**2
        both = [2 * (o[a] - odd[a, a] - odd[b, a]) / step**3 - thrice[a, b] for a, b in ((i, j), (j, i))]
        quartic[i, j] = quartic[j, i] = sum(both) / 2
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return ForceConstants(w, torch.stack([cubic.permute(p) for p in orders]).mean(0), quartic)


def nearer(reference: Reference, start: Molecules, modes: Modes, steps: int = 3) -> Molecules:
    """A few of Newton's steps along the ``modes`` of another level, ``-sum_k D_k (D_k . g) / lambda_k``."""
    for _ in range(steps):
        forces = reference(start).forces
        along = torch.einsum("kax,ax->k", modes.displacements, forces) / modes.eigenvalues
        start = start.at(start.positions + torch.einsum("k,kax->ax", along, modes.displacements))
    return start


def analyse(name: str, level: str, molecule: dict, harmonic_only: bool = False, before: Modes | None = None) -> tuple[dict, Modes]:
    """Everything of a molecule at a level, modes in ascending order, as plain data; ``before``: modes of another level, to start from."""
    numbers, positions = np.array(molecule["numbers"]), np.array(molecule["positions"], dtype=float) * units.ANGSTROM
    group = operations(numbers, positions)
    positions = symmetrised(positions, group)
    reference = Reference(level, KEPT / f"{name.replace(' ', '-')}-{level.replace('/', '-')}.jsonl", group)
    start = Molecules.single(numbers.tolist(), torch.from_numpy(positions))
    rest = relax(reference, start if before is None else nearer(reference, before.molecule, before))
    rest = rest.at(torch.from_numpy(symmetrised(rest.positions.numpy(), group)))
    modes = normal_modes(reference, rest, step=0.01)
    result = {
        "molecule": name,
        "level": level,
        "harmonic_per_cm": modes.frequencies.numpy().round(1).tolist(),
        "km_per_mol": modes.intensities.numpy().round(2).tolist(),
        "characters": characters(modes, group),
        "dipole_debye": round(float(reference(rest).dipole.norm()) / units.DEBYE, 4),
    }
    if not harmonic_only:
        result.update(anharmonic(reference, modes))
    return {**result, "cost": reference.cost()}, modes


def anharmonic(reference: Reference, modes: Modes) -> dict:
    """VPT2 of the modes that are not soft, deperturbed; what mixes is told by ``resonances``, in numbers of all modes."""
    stiff = torch.nonzero(modes.frequencies >= SOFTEST)[:, 0]
    part = Modes(modes.molecule, modes.eigenvalues[stiff], modes.vectors[stiff])
    constants = force_constants(reference, part, STEP)
    found = resonances(constants)
    chi = anharmonicity(constants, rotation(part), found)
    fundamentals = modes.frequencies.clone()
    fundamentals[stiff] = levels(constants.quadratic, chi) / units.INVERSE_CM
    number = stiff.tolist()
    return {
        "soft": [k for k in range(len(fundamentals)) if k not in number],
        "fundamentals_per_cm": fundamentals.numpy().round(1).tolist(),
        "resonances": [
            {
                "upper": number[r.upper],
                "lower": [number[k] for k in r.lower],
                "offset_per_cm": round(r.offset, 1),
                "coupling_per_cm": round(r.coupling, 1),
                "chi_per_cm": round(float(chi[r.lower]) / units.INVERSE_CM, 1),
            }
            for r in found
        ],
    }


def molecules() -> dict[str, dict]:
    """benchmarks/levels.toml."""
    return tomllib.loads((HERE / "levels.toml").read_text(encoding="utf-8"))


def kept() -> list[dict]:
    """What is known already."""
    return json.loads(ANALYSES.read_text(encoding="utf-8"))["rows"] if ANALYSES.exists() else []


def run(names: list[str], chosen: list[str], harmonic_only: bool) -> None:
    """Analyse and keep."""
    torch.set_num_threads(1)
    lib.num_threads(1)
    modes: dict[str, Modes] = {}
    for level, name in product(chosen, names):
        began = time.process_time()
        row, modes[name] = analyse(name, level, molecules()[name], harmonic_only, modes.get(name))
        print(name, level, f"{time.process_time() - began:.0f} s", {k: v for k, v in row.items() if k.endswith("_per_cm")}, flush=True)
        rows = [r for r in kept() if (r["molecule"], r["level"]) != (name, level)] + [row]
        write(ANALYSES, {**machine(), "rows": rows})


def main() -> None:
    """The two verbs."""
    options = parser(__doc__)
    verbs = options.add_subparsers(dest="verb", required=True)
    work = verbs.add_parser("run")
    work.add_argument("molecules", nargs="+", choices=list(molecules()))
    work.add_argument("--levels", nargs="+", required=True, help="functional/basis, by their PySCF names")
    work.add_argument("--harmonic", action="store_true", help="no VPT2: the tables then take its shifts from B3LYP")
    verbs.add_parser("tables")
    chosen = options.parse_args()
    if chosen.verb == "run":
        run(chosen.molecules, chosen.levels, chosen.harmonic)
    else:
        conclude(chosen, "levels", tables(kept(), molecules()))


if __name__ == "__main__":
    main()
