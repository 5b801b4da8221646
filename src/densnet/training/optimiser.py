"""Adam in the eigenbasis of each weight's own gradient statistics.

N. Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", arXiv 2409.11321. For a gradient G [..., m, n] the means of G G^T and
G^T G are followed; Adam runs on Q_L^T G Q_R with their eigenvectors Q. The networks here are small and ill-conditioned: what a step costs
more than Adam's is little, what it gains is much.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """SOAP for weights of two or more axes (leading axes are a batch of matrices), Adam for the others.

    ``betas``: decay of the mean gradient, and of the mean square and the two statistics; the eigenvectors are renewed every ``renew``
    steps. ``floor``, in units of a matrix's mean square gradient, keeps directions that carry rounding noise only from moving. A side of
    a matrix that is longer than ``largest`` keeps its own axes. The weights are dealt to ``threads`` threads. The state is kept and worked
    on by the CPU wherever the weights are: many small factorisations are nothing for a GPU.
    """

    def __init__(
        self, weights: Iterable[Tensor], lr: float, *, betas: tuple[float, float] = (0.95, 0.98), floor: float = 1e-6, renew: int = 5,
        largest: int = 400, threads: int = 1,
    ):  # fmt: skip
        super().__init__(list(weights), {"lr": lr, "betas": betas, "floor": floor, "renew": renew, "largest": largest})
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # takes no closure
        """One update of every weight that has a gradient."""
        learning = [(weight, group) for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        learning.sort(key=lambda job: -job[0].numel())  # the longest first, so that threads end together
        weights = [weight for weight, _ in learning]
        gradients = _moved([weight.grad for weight in weights], torch.device("cpu"))
        jobs = [(weight, gradient, group) for (weight, group), gradient in zip(learning, gradients)]
        changes = list((self.pool.map if self.pool else map)(lambda job: self._change(*job), jobs))
        torch._foreach_add_(weights, _moved(changes, weights[0].device))

    @torch.no_grad()
    def _change(self, weight: Tensor, gradient: Tensor, group: dict) -> Tensor:
        return -group["lr"] * self._direction(weight, gradient, group)

    def _direction(self, weight: Tensor, gradient: Tensor, group: dict) -> Tensor:
        state, (fast, slow) = self.state[weight], group["betas"]
        if not state:
            state |= {"step": torch.zeros(()), "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
            for side, size in _sides(weight, group["largest"]):
                state[f"{side}_statistics"] = gradient.new_zeros(*weight.shape[:-2], size, size)
                state[f"{side}_vectors"] = torch.eye(size, dtype=weight.dtype).expand(*weight.shape[:-2], -1, -1).clone()
        state["step"] += 1
        count = int(state["step"])
        for side, _ in _sides(weight, group["largest"]):
            outer = gradient @ gradient.mT if side == "left" else gradient.mT @ gradient
            state[f"{side}_statistics"].lerp_(outer, 1 - slow)
        if count % group["renew"] == 1 or count < 10:
            self._renew(state)
        state["mean"].lerp_(gradient, 1 - fast)
        state["square"].lerp_(_rotate(gradient, state).square(), 1 - slow)
        floor = group["floor"] * state["square"].mean(tuple(range(weight.ndim))[-2:], keepdim=True) + 1e-30
        scale = (1 - slow**count) ** 0.5 / (1 - fast**count)
        return _rotate_back(scale * _rotate(state["mean"], state) * (state["square"] + floor).rsqrt(), state)

    @staticmethod
    def _renew(state: dict[str, Tensor]) -> None:
        """One step of orthogonal iteration towards the eigenvectors, columns sorted by size; ``square`` is sorted with them.

        All of it contiguous, as a restart finds it: sums in another order would not be the same to the bit.
        """
        for side in ("left", "right"):
            if f"{side}_statistics" not in state:
                continue
            statistics, vectors = state[f"{side}_statistics"], state[f"{side}_vectors"]
            product = statistics @ vectors
            order = (vectors * product).sum(-2).argsort(-1, descending=True)
            index = order.unsqueeze(-2).expand_as(product)
            state[f"{side}_vectors"] = torch.linalg.qr(product.gather(-1, index)).Q.contiguous()
            axis = -2 if side == "left" else -1
            spread = order.unsqueeze(-1) if side == "left" else order.unsqueeze(-2)
            state["square"] = state["square"].gather(axis, spread.expand_as(state["square"]))


def _moved(tensors: list[Tensor], device: torch.device) -> list[Tensor]:
    """The tensors on ``device``, all in one transfer: each would wait for the GPU."""
    if all(t.device.type == device.type for t in tensors):
        return tensors
    flat = torch.cat([t.reshape(-1) for t in tensors]).to(device)
    return [part.view_as(t) for part, t in zip(flat.split([t.numel() for t in tensors]), tensors)]


def _sides(weight: Tensor, largest: int) -> list[tuple[str, int]]:
    """Which axes of a weight are rotated, and how long they are."""
    if weight.ndim < 2:
        return []
    return [(side, size) for side, size in (("left", weight.shape[-2]), ("right", weight.shape[-1])) if 1 < size <= largest]


def _rotate(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    if "left_vectors" in state:
        x = state["left_vectors"].mT @ x
    return x @ state["right_vectors"] if "right_vectors" in state else x


def _rotate_back(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    if "left_vectors" in state:
        x = state["left_vectors"] @ x
    return x @ state["right_vectors"].mT if "right_vectors" in state else x
