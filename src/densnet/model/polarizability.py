"""The polarizability alone, at the least cost: of the response only what has an electron count or a first moment, l = 0 and 1."""

from __future__ import annotations

from copy import deepcopy

import torch

from densnet import files
from densnet.density.response import DensityResponse
from densnet.model.predictor import Predictor, ResponseMissing
from densnet.molecules import Molecules, Neighbours
from densnet.properties import Properties

HIGHEST = 1
"""The l beyond which functions add nothing to an electron count or a first moment."""


class Polarizability:
    """Molecules -> `Properties` that hold the polarizability of a ``predictor`` as it is now, to rounding, and nothing else.

    For dynamics, which asks for it at every sampled step. Raises `ResponseMissing` for a model that has not learned it.
    """

    def __init__(self, predictor: Predictor):
        if predictor.response_network is None:
            raise ResponseMissing("this model does not know how its density answers a field; train that by `densnet train --response`.")
        # one of its own, which remembers constants of this network too; moving it, if only to its place, forgets those of before
        self.predictor = deepcopy(predictor).requires_grad_(False).to(predictor.device)
        self.basis, self.network = predictor.basis.up_to(HIGHEST), predictor.response_network.up_to(HIGHEST)

    @torch.no_grad()
    def __call__(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        """``polarizability`` [molecules, 3, 3], bohr^3, symmetric; ``neighbours`` in place of the model's own."""
        known, geometry = self.predictor.density_network, self.predictor.geometry(molecules, neighbours)
        hidden = known.hidden(geometry)
        widths = known.widths_of(hidden, geometry)
        exponents = known.exponents_at(geometry, widths)[:, : len(self.basis.slots)]
        response = DensityResponse(molecules, self.basis, self.network(hidden, widths, geometry), exponents)
        alpha = response.polarizability()
        return Properties(molecules, polarizability=(alpha + alpha.mT) / 2)

    def neighbours_of(self, molecules: Molecules) -> Neighbours:
        """The atoms that each atom sees."""
        return self.predictor.neighbours_of(molecules)

    def fingerprint(self) -> str:
        """Changes with everything but the molecules that the numbers depend on."""
        return files.sha256("polarizability", self.predictor.fingerprint())
