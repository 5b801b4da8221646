"""A predictor on a GPU as one recording: every kernel of energy, density and forces in a CUDA graph, launched together.

A call is some 800 kernels; with few atoms, launching each takes longer than its work. A graph launches them at once. They work on the
tensors that they were recorded with: positions are copied in, results copied out (https://docs.pytorch.org/docs/stable/notes/cuda.html).
"""

from __future__ import annotations

from copy import deepcopy

import torch

from densnet.model.forces import Ask, Frozen, MolecularFunction, with_forces
from densnet.model.predictor import ALL_PAIRS_UP_TO, ModelError
from densnet.molecules import Molecules
from densnet.properties import Properties

WARM_UP = 3
"""Calls before the recording: libraries choose their kernels, and constants are made."""


class Graphed:
    """An energy function (`Predictor`, or another) as a CUDA graph, for batches of the composition of ``like`` on the same GPU.

    A force function for one thread; with ``ask``, any other function of molecules and how it is asked.

    It is the model as it was when recorded: weights changed afterwards do not reach it. Raises `ModelError` for molecules of more than
    `ALL_PAIRS_UP_TO` atoms, whose neighbours are found on the CPU, and for other molecules than those it is made for.
    """

    def __init__(self, energy: MolecularFunction, like: Molecules, ask: Ask = with_forces):
        largest = int(like.sizes.max())
        if largest > ALL_PAIRS_UP_TO:
            raise ModelError(f"`compile` on a GPU is for molecules of up to {ALL_PAIRS_UP_TO} atoms, not {largest}; run without it.")
        self.like = like.at(like.positions.clone())
        self.compared = like.numbers
        self.energy = Frozen(deepcopy(energy), ask)  # its own, because the graph reads the constants that it remembers
        self.graph = torch.cuda.CUDAGraph()
        self._warm_up()
        with torch.cuda.graph(self.graph):
            self.found = self.energy(self.like)

    def __call__(self, molecules: Molecules) -> Properties:
        if molecules.numbers is not self.compared:  # comparing waits for the GPU, hence once
            self._refuse_others(molecules)
            self.compared = molecules.numbers
        self.like.positions.copy_(molecules.positions)
        self.graph.replay()
        return self.found.with_tensors(molecules, {name: t.clone() for name, t in self.found.tensors().items()})

    def _warm_up(self) -> None:
        """On a stream of its own, as a recording is."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.energy(self.like)
        torch.cuda.current_stream().wait_stream(stream)

    def _refuse_others(self, molecules: Molecules) -> None:
        if not torch.equal(molecules.numbers, self.like.numbers) or molecules.count != self.like.count:
            made = f"{self.like.count} molecules of {len(self.like.numbers)} atoms together"
            raise ModelError(f"this model is recorded for {made}, not for {molecules.count} of {len(molecules.numbers)}; record another.")
