"""SCF iterations and time from PySCF's starting points and from a predicted density:

    python benchmarks/initial_guess.py MODEL FRAMES.h5 ... [--count 20] [--table NAME]

MODEL is a model file, the name of a shipped one, or `fit`: the density fitted to the labels' own orbitals in the basis `--basis`, which
is what a perfect model would give. FRAMES.h5 hold labels; of them `--count`, spread over all. Functional and basis of the labels, Coulomb
fitted, and the same threshold for every start. Times are those of PySCF, start and iterations together.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pyscf
import torch
from experiment import Table, conclude, machine_line, parser
from pyscf import dft, gto

from densnet.dataset import store
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.interfaces.pyscf import from_density
from densnet.model.predictor import load
from densnet.molecules import SYMBOLS, Molecules
from densnet.properties import Properties
from densnet.reference.fitting import fit
from densnet.reference.scf import ScfSettings

THEIRS = ("minao", "atom", "huckel", "vsap")


def mole(molecule: Molecules, basis: str) -> gto.Mole:
    atoms = [(SYMBOLS[z], x) for z, x in zip(molecule.numbers.tolist(), molecule.positions.tolist())]
    return gto.M(atom=atoms, unit="Bohr", basis=basis, verbose=0)


def fitted(label: Properties, basis: str) -> Density:
    return fit(label.orbitals[0], DensityBasis.built_in(basis, label.molecules.numbers.unique().tolist()))


def free_atoms(density: Density) -> Density:
    return Density(density.molecules, density.basis, torch.zeros_like(density.coefficients), density.exponents)


def scf(mol: gto.Mole, settings: ScfSettings, start: Callable[[], np.ndarray]) -> tuple[float, ...]:
    """Iterations, energy of the first one above the converged, that one (hartree); seconds of the start, of all."""
    field = dft.RKS(mol, xc=settings.xc).density_fit(auxbasis=settings.coulomb_basis)
    field.grids.level, field.conv_tol = 2, settings.conv_tol
    field.grids.build()
    energies = []
    field.callback = lambda state: energies.append(state["e_tot"])
    began = time.perf_counter()
    guess = start()
    took = time.perf_counter() - began
    field.kernel(dm0=guess)
    if not field.converged:
        raise SystemExit("an SCF did not converge")
    return len(energies), energies[0] - field.e_tot, field.e_tot, took, time.perf_counter() - began


def main() -> None:
    options = parser(__doc__)
    options.add_argument("model")
    options.add_argument("frames", nargs="+")
    options.add_argument("--count", type=int, default=20)
    options.add_argument("--basis", default="large", help="density basis of `fit`")
    options.add_argument("--table", default="starts", help="name that the table is recorded by")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    labels = store.read(*chosen.frames)
    settings = ScfSettings(**{name: labels.level[name] for name in ("xc", "basis")})
    predictor = None if chosen.model == "fit" else load(chosen.model)
    picked = np.linspace(0, len(labels) - 1, min(chosen.count, len(labels))).round().astype(int)
    print(f"{machine_line()}; pyscf {pyscf.__version__}; {settings}")
    print(f"{len(picked)} frames of {', '.join(chosen.frames)}; model {chosen.model}")
    found: dict[str, list[tuple[float, ...]]] = {}
    for frame in picked:
        label = labels[frame].properties
        mol = mole(label.molecules, settings.basis)
        with torch.no_grad():
            density = predictor.without_forces(label.molecules).density if predictor else fitted(label, chosen.basis)
        starts = {name: partial(dft.RKS(mol).get_init_guess, key=name) for name in THEIRS}
        starts |= {"free atoms": partial(from_density, mol, free_atoms(density)), "density": partial(from_density, mol, density)}
        for name, start in starts.items():
            found.setdefault(name, []).append(scf(mol, settings, start))
    rows = []
    for name, each in found.items():
        count, above, _, took, every = np.array(each).T
        spread = f"{count.min():.0f}-{count.max():.0f}"
        rows.append([name, float(count.mean()), spread, f"{above.mean():.1e}", float(took.mean()), float(every.mean())])
    head = ["start", "iterations", "least-most", "first energy above the converged, hartree", "start, s", "start and SCF, s"]
    conclude(chosen, "initial_guess", {chosen.table: Table(head, rows)})
    energies = np.array([[row[2] for row in rows] for rows in found.values()])
    print(f"converged energies agree within {np.ptp(energies, axis=0).max():.1e} hartree")


if __name__ == "__main__":
    main()
