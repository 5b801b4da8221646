"""Integrals (mn|P) of the AOs m and n of a molecule and the functions P of an auxiliary basis, shell by shell, and their metric (P|Q).

Their kernel is 1/r, or erf(omega r)/r.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pyscf import df, gto
from pyscf.scf import _vhf

NEGLIGIBLE = 1e-11
"""hartree; integrals of a pair of shells mn take no part where sqrt((mn|mn)) max_P sqrt((P|P)) stays below."""

NEGLIGIBLE_SLOPE = 1e-8
"""hartree / bohr; derivatives of a pair of shells mn take no part where sqrt((mn|mn)) max_P sqrt((P|P)) times what they are multiplied by
stays below."""


class ThreeCentre:
    """Those of ``molecule`` and the auxiliary basis of PySCF's name ``auxiliary``; ``omega`` in 1/bohr, None for 1/r."""

    def __init__(self, molecule: gto.Mole, auxiliary: str, omega: float | None = None):
        self.molecule, self.auxiliary, self.omega = molecule, df.addons.make_auxmol(molecule, auxiliary), omega or 0.0
        self.metric = self.of_two("int2c2e")
        self.largest = np.sqrt(self.metric.diagonal().max())
        self.bounds = _vhf._VHFOpt(molecule, "int2e", qcondname="CVHFnr_int2e_q_cond").q_cond
        """sqrt((mn|mn)) of 1/r, the larger kernel, for each pair of shells."""
        self.starts = molecule.ao_loc_nr()
        self.size = self.auxiliary.nao

    def of_two(self, integral: str) -> np.ndarray:
        """``integral`` of the auxiliary functions."""
        with self.auxiliary.with_range_coulomb(self.omega):
            return self.auxiliary.intor(integral)

    def shell_by_shell(self, integral: str, partners: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """AOs m of each shell, AOs n of its ``partners`` (table of shells), and ``integral`` of m, n and all P, as libcint orders it."""
        m, a = self.molecule, self.auxiliary
        atm, bas, env = gto.conc_env(m._atm, m._bas, m._env, a._atm, a._bas, a._env)
        env[gto.PTR_RANGE_OMEGA] = self.omega
        functions = np.diff(self.starts)
        for shell, theirs in enumerate(partners):
            chosen = np.flatnonzero(theirs)
            few = np.vstack([bas[shell], bas[chosen], bas[m.nbas :]])
            last = 1 + len(chosen)
            values = gto.moleintor.getints(integral, atm, few, env, shls_slice=(0, 1, 1, last, last, len(few)))
            yield np.arange(*self.starts[shell : shell + 2]), np.flatnonzero(np.repeat(theirs, functions)), values

    def integrals(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(mn|P) [P, n, m], every pair of shells once."""
        partners = np.tril(self.bounds * self.largest > NEGLIGIBLE)
        return ((m, n, values.transpose(2, 1, 0)) for m, n, values in self.shell_by_shell("int3c2e_sph", partners))

    def slopes(self, weights: Callable[[np.ndarray, np.ndarray], np.ndarray], largest: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """d/dR [atoms, 3] of sum_mnP G_mnP (mn|P) - 1/2 sum_PQk f_Pk (P|Q) f_Qk at fixed G and f.

        ``weights`` (m, n) -> G [P, n, m], symmetric in m and n; ``largest`` [AO, AO] bounds their absolute values; ``fitted`` f [P, k].
        What the P contribute follows from that of the m: when all three centres of an integral move, it stays.
        """
        starts = self.starts[:-1]
        of_shells = np.maximum.reduceat(np.maximum.reduceat(largest, starts, axis=0), starts, axis=1)
        partners = self.bounds * of_shells * self.largest > NEGLIGIBLE_SLOPE
        moved, aux_moved = np.zeros((3, len(largest))), np.zeros((3, self.size))
        for m, n, values in self.shell_by_shell("int3c2e_ip1_sph", partners):
            pairs = values.transpose(0, 3, 2, 1).reshape(3, self.size, -1)
            of_shell = np.einsum("xpk,pk->xp", pairs, weights(m, n).reshape(self.size, -1))
            moved[:, m[0]] = of_shell.sum(1)  # all of a shell move together
            aux_moved += of_shell
        metric = ((self.of_two("int2c2e_ip1") @ fitted) * fitted).sum(2)
        ours, theirs = self.molecule.aoslice_by_atom()[:, 2:], self.auxiliary.aoslice_by_atom()[:, 2:]
        return np.array([
            -2 * moved[:, a:b].sum(1) + 2 * aux_moved[:, c:d].sum(1) + metric[:, c:d].sum(1) for (a, b), (c, d) in zip(ours, theirs)
        ])  # fmt: skip
