"""How the exchange-correlation potential answers a change of the orbitals: the kernel f_xc of a semilocal functional on a grid.

    rho1 = 4 sum_i psi_i psi1_i,    v1 = f_xc rho1,    (rho, f_xc: with gradients, and tau where the functional has it)

It is needed to a few digits only, so that a far smaller grid does than that of the energy; AO values and the kernel are kept over all
applications, and all directions of a perturbation go through them together.
"""

from __future__ import annotations

import numpy as np

from densnet.reference.exchange import ExchangeCorrelation


class Kernel:
    """f_xc of ``semilocal`` at the density of doubly ``occupied`` orbitals [AO, n]."""

    def __init__(self, semilocal: ExchangeCorrelation, occupied: np.ndarray):
        self.semilocal, self.occupied = semilocal, occupied
        self._kept = [self._of_block(block) for block in semilocal.blocks()] if semilocal.keeps else None

    def _of_block(self, block):
        psi = self.occupied[block.number].T @ block.ao
        return block, psi, self.semilocal.kernel(block, psi)

    def __call__(self, first_order: np.ndarray) -> np.ndarray:
        """v1 psi_i [k, AO, n], projected on the AOs, from ``first_order`` orbitals psi1_i [k, AO, n] along k directions."""
        found = np.zeros_like(first_order)
        for block, psi, kernel in self._kept or map(self._of_block, self.semilocal.blocks()):
            few = first_order[:, block.number].transpose(0, 2, 1)
            change = few.reshape(-1, few.shape[2]) @ block.ao
            potential = np.einsum("abr,kbr->kar", kernel, _densities(psi, change.reshape(4, *few.shape[:2], -1), len(kernel)))
            weighted = _weighted(psi, potential).reshape(4, -1, len(block.points))
            found[:, block.number] += (weighted @ block.ao.transpose(0, 2, 1)).sum(0).reshape(few.shape).transpose(0, 2, 1)
        return found


def _densities(psi: np.ndarray, change: np.ndarray, kinds: int) -> np.ndarray:
    """First order of rho, its gradient and (5 ``kinds``) tau, [k, kinds, points], from psi [4, n, points] and psi1 [4, k, n, points]."""
    density = np.einsum("cir,kir->kcr", 4 * psi, change[0])
    density[:, 1:] += np.einsum("ir,ckir->kcr", 4 * psi[0], change[1:])
    if kinds == 4:
        return density
    return np.concatenate([density, np.einsum("cir,ckir->kr", 2 * psi[1:], change[1:])[:, None]], axis=1)


def _weighted(psi: np.ndarray, potential: np.ndarray) -> np.ndarray:
    """[4, k, n, points]: what an AO and its slopes are to be integrated with for <AO| v1 |psi_i>."""
    found = potential[:, :4].transpose(1, 0, 2)[:, :, None] * psi[0]
    found[0] += np.einsum("kcr,cir->kir", potential[:, 1:4], psi[1:])
    if potential.shape[1] == 5:
        found[1:] += potential[:, 4][None, :, None] / 2 * psi[1:, None]
    return found
