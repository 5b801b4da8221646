"""The networks as one function Molecules -> Properties; forces by differentiation through both; one file holds it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import densnet
from densnet import files, units
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.response import DensityResponse
from densnet.errors import DensnetError
from densnet.model import shipped
from densnet.model.density_network import DensityNetwork, DensityNetworkSettings, DensityOutput
from densnet.model.energy_network import EnergyNetwork, EnergyNetworkSettings
from densnet.model.forces import with_forces
from densnet.model.geometry import Geometry, geometry
from densnet.model.migrations import NEWEST, OLDEST, upgraded
from densnet.model.response_network import ResponseNetwork, ResponseNetworkSettings
from densnet.model.uncertainty import Features, Rigidity, UncertaintyMissing, slopes
from densnet.molecules import SYMBOLS, Molecules, Neighbours, all_pairs, pairs_within
from densnet.properties import Properties
from densnet.settings import Added, Section, parse

ALL_PAIRS_UP_TO = 24
"""Molecules up to this many atoms use every pair, which never changes along a trajectory; larger ones a cell list."""


REMEMBERED = 4
"""Batches whose elements, pairs and constants are kept."""


class Topology(NamedTuple):
    """What a batch of molecules is, wherever its atoms are.

    ``element`` [atoms] index of each atom's element, ``every`` every pair of small molecules, ``constants`` see `Geometry`.
    """

    numbers: Tensor
    owner: Tensor
    charge: Tensor | None
    element: Tensor
    every: Neighbours | None
    constants: dict[tuple[int, str], Tensor]


class CheckpointError(DensnetError):
    """A model file that cannot be used; the message says why and what to do."""


class ModelError(DensnetError):
    """Molecules that a model is not made for; the message says for which it is."""


class ResponseMissing(DensnetError):
    """A polarizability was asked of a model that has not learned it."""


class ModelSettings(Section):
    """Sizes of the networks."""

    density: DensityNetworkSettings = Field(default_factory=DensityNetworkSettings)
    energy: EnergyNetworkSettings = Field(default_factory=EnergyNetworkSettings)
    response: Added[ResponseNetworkSettings] = Field(
        default_factory=ResponseNetworkSettings, description="of the network that a model has if it learned how the density answers a field"
    )


class Predictor(nn.Module):
    """Molecules -> Properties: energy, forces, dipole and density of neutral closed-shell molecules.

    Built from its networks: ``density_network`` geometry -> density, ``energy_network`` density -> energy, and maybe a
    ``response_network`` for what a field does to the density, asked for by `respond` or `with_response`.

    A molecule's result does not depend on the others in its batch. Positions enter as differences taken in their own precision
    (float64 in dynamics); the networks run in the precision of their weights; energies are summed in float64.
    ``provenance`` is free JSON data on how the model was trained; it travels with the file. ``uncertainty``, if there is one, is what the
    model knows of its own errors; predictions then come with it.
    """

    def __init__(
        self,
        density_network: DensityNetwork,
        energy_network: EnergyNetwork,
        response_network: ResponseNetwork | None = None,
        provenance: dict | None = None,
    ):
        super().__init__()
        self.settings = ModelSettings(density=density_network.settings, energy=energy_network.settings)
        if response_network is not None:
            self.settings = self.settings.model_copy(update={"response": response_network.settings})
        self.basis, self.neighbours = density_network.basis, density_network.neighbours
        self.provenance = provenance or {}
        self.density_network, self.energy_network, self.response_network = density_network, energy_network, response_network
        table = torch.full((len(SYMBOLS),), -1)
        table[list(self.basis.elements)] = torch.arange(len(self.basis.elements))
        self.register_buffer("element_of", table, persistent=False)
        self.uncertainty: Rigidity | None = None
        self._topologies: list[Topology] = []
        self._watched: tuple[list[nn.Parameter], list[Tensor]] | None = None
        self._state: tuple = ()

    @classmethod
    def of(cls, settings: ModelSettings, basis: DensityBasis, neighbours: float, provenance: dict | None = None) -> Predictor:
        """Untrained networks of these sizes; ``neighbours`` is the mean number of atoms that an atom sees."""
        density = DensityNetwork(settings.density, basis, neighbours)
        return cls(density, EnergyNetwork(settings.energy, basis, settings.density.radial_functions, neighbours), None, provenance)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the networks."""
        return self.density_network.embedding.dtype

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.density_network.embedding.device

    def geometry(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Geometry:
        """What both networks see of ``molecules``; ``neighbours`` in place of those found by distance, if the caller knows them."""
        topology = self._topology(molecules)
        neighbours = neighbours or self.neighbours_of(molecules)
        own = self.settings.density
        cutoff = own.cutoff * units.ANGSTROM
        vectors = self._vectors(molecules, neighbours)
        l_max = max(own.l_max, self.settings.energy.l_max, self.basis.l_max)
        constants = topology.constants if self._frozen() else None
        found = geometry(topology.element, vectors, neighbours, cutoff=cutoff, radial=own.radial_functions, l_max=l_max)
        surplus = None if molecules.charge is None else molecules.surplus.to(self.dtype)
        return replace(found, constants=constants, fixed=neighbours is topology.every, surplus=surplus)

    def _vectors(self, molecules: Molecules, neighbours: Neighbours) -> Tensor:
        """[atoms, neighbours, 3] bohr, in the precision of the networks; an absent neighbour is beyond the cut-off."""
        return neighbours.vectors(molecules.positions, 2 * self.settings.density.cutoff * units.ANGSTROM).to(self.dtype)

    def neighbours_of(self, molecules: Molecules) -> Neighbours:
        """Every other atom in batches of small molecules, a fixed table; the atoms within the cut-off in others."""
        every = self._topology(molecules).every
        if every is not None:
            return every
        return pairs_within(molecules, self.settings.density.cutoff * units.ANGSTROM).by_receiver(len(molecules.numbers))

    def density(self, molecules: Molecules, output: DensityOutput, geometry: Geometry) -> Density:
        """The output of network 1 as a `Density` of ``molecules``."""
        exponents = self.density_network.exponents_at(geometry, output.widths)
        return Density(molecules, self.basis, output.coefficients, exponents)

    def without_forces(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        """Energy, dipole and density, differentiable in the positions and in the weights, and their uncertainty, which is not."""
        geometry = self.geometry(molecules, neighbours)
        hidden = self.density_network.hidden(geometry)
        output = self.density_network.output(hidden, geometry)
        features = self.energy_network.features(output, geometry)
        energy = molecules.total(self.energy_network.energies(features, geometry))
        density = self.density(molecules, output, geometry)
        uncertainty = None
        if self.uncertainty is not None:
            with torch.no_grad():
                uncertainty = self.uncertainty(self._features(molecules, features.detach(), hidden.detach(), geometry, neighbours))
        return Properties(molecules, energy=energy, dipole=density.dipole(), density=density, uncertainty=uncertainty)

    def add_response_network(self, settings: ResponseNetworkSettings) -> None:
        """An untrained one on the features of this model's density network, in their precision and place."""
        network = ResponseNetwork(settings, self.settings.density, self.basis, self.neighbours)
        self.settings = self.settings.model_copy(update={"response": settings})
        self.response_network, self._watched, self._state = network.to(self.device, self.dtype), None, ()

    def respond(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        """Polarizability and response of the density alone, differentiable in the positions and in the weights.

        Raises `ResponseMissing` if the model has not learned them.
        """
        if self.response_network is None:
            raise ResponseMissing("this model does not know how its density answers a field; train that by `densnet train --response`.")
        geometry = self.geometry(molecules, neighbours)
        hidden = self.density_network.hidden(geometry)
        widths = self.density_network.widths_of(hidden, geometry)
        exponents = self.density_network.exponents_at(geometry, widths)
        response = DensityResponse(molecules, self.basis, self.response_network(hidden, widths, geometry), exponents)
        alpha = response.polarizability()
        return Properties(molecules, polarizability=(alpha + alpha.mT) / 2, response=response)

    def with_response(self, molecules: Molecules) -> Properties:
        """As a call, with polarizability and response of the density, detached. Raises `ResponseMissing`."""
        found = self(molecules)
        with torch.no_grad():
            more = self.respond(found.molecules)
        return found.replace(polarizability=more.polarizability, response=more.response)

    def features(self, molecules: Molecules) -> Features:
        """What energies and dipoles are linear in; see `densnet.model.uncertainty`."""
        geometry = self.geometry(molecules)
        hidden = self.density_network.hidden(geometry)
        features = self.energy_network.features(self.density_network.output(hidden, geometry), geometry)
        return self._features(molecules, features, hidden, geometry, None)

    def _features(
        self, molecules: Molecules, features: Tensor, hidden: Tensor, geometry: Geometry, neighbours: Neighbours | None
    ) -> Features:
        vectors = self._vectors(molecules, neighbours or self.neighbours_of(molecules))
        dipole = self.density_network.dipole_features(hidden, geometry, vectors)
        return Features(self.energy_network.scale * molecules.total(features), molecules.total(dipole))

    def with_force_uncertainty(self, molecules: Molecules) -> Properties:
        """As a call, and the uncertainty of the forces too, at the cost of some 3 x (atoms of the largest molecule) calls.

        Raises `UncertaintyMissing` if the model knows nothing of its errors.
        """
        if self.uncertainty is None:
            raise UncertaintyMissing("this model has no uncertainties; add them with `densnet train DATA --start MODEL --calibrate`.")
        found = self(molecules)
        forces = self.uncertainty.of_forces(slopes(lambda moved: self.features(moved).energy, found.molecules))
        return found.replace(uncertainty=replace(found.uncertainty, forces=forces))

    def forward(self, molecules: Molecules, *, create_graph: bool = False) -> Properties:
        """Energy, forces F = -dE/dR through both networks, dipole and density.

        With ``create_graph`` the result stays differentiable in the weights; otherwise it is detached.
        """
        return with_forces(self, molecules, create_graph=create_graph)

    def fingerprint(self) -> str:
        """Hash of weights, architecture, basis and precision."""
        about = {**self._header(), "provenance": None, "precision": str(self.dtype), "basis": self.basis.fingerprint}
        tensors = sorted(self.state_dict().items())
        weights = (part for name, t in tensors for part in (name, t.detach().cpu().contiguous().numpy().tobytes()))
        return files.sha256(json.dumps(about, sort_keys=True), *weights)

    def _topology(self, molecules: Molecules) -> Topology:
        """Remembered for the batches last seen, because a trajectory asks for the same atoms at every step, maybe in several blocks."""
        for known in self._topologies:
            if known.numbers is molecules.numbers and known.owner is molecules.owner and known.charge is molecules.charge:
                return known
        charges = set(molecules.net_charge.tolist())
        if unknown := charges - set(self.provenance.get("charges", (0,))):
            raise ModelError(f"this model does not know molecules of charge {min(unknown):+d}; it was trained on neutral ones.")
        element = self.element_of[molecules.numbers]
        if (element < 0).any():
            number = int(molecules.numbers[element < 0][0])
            symbol = SYMBOLS[number] if number < len(SYMBOLS) else f"number {number}"
            trained = ", ".join(SYMBOLS[z] for z in self.basis.elements)
            raise ModelError(f"this model does not know element {symbol}; it was trained on {trained}. Train one that includes {symbol}.")
        small = int(molecules.sizes.max()) <= ALL_PAIRS_UP_TO
        every = all_pairs(molecules).by_receiver(len(element)) if small else None
        new = Topology(molecules.numbers, molecules.owner, molecules.charge, element, every, {})
        self._topologies = [new, *self._topologies[: REMEMBERED - 1]]
        return new

    def _frozen(self) -> bool:
        """Whether no weight can learn. What was made of weights is forgotten when one of them has changed in the meantime."""
        if self._watched is None:
            self._watched = list(self.parameters()), list(self.buffers())
        weights, others = self._watched
        if any(w.requires_grad for w in weights):
            return False
        state = (self.dtype, self.device, self.energy_network.reference, sum(t._version for t in weights) + sum(t._version for t in others))
        if state != self._state:
            self._state = state
            for known in self._topologies:
                known.constants.clear()
        return True

    def _apply(self, fn: Callable[[Tensor], Tensor], *, recurse: bool = True) -> Predictor:
        """Every change of device or precision comes through here, and replaces tensors."""
        self._topologies, self._watched, self._state = [], None, ()
        return super()._apply(fn, recurse=recurse)

    def _header(self) -> dict:
        constants = {"reference": self.energy_network.reference, "scale": self.energy_network.scale}
        response = self.response_network
        return {
            "format": NEWEST,
            "package_version": densnet.__version__,
            "architecture": {
                "density": {"kind": self.density_network.kind, "settings": self.settings.density.model_dump()},
                "energy": {"kind": self.energy_network.kind, "settings": self.settings.energy.model_dump(), "constants": constants},
                "response": response and {"kind": response.kind, "settings": response.settings.model_dump()},
            },
            "basis": self.basis.to_dict(),
            "neighbours": self.neighbours,
            "provenance": self.provenance,
            "uncertainty": None if self.uncertainty is None else self.uncertainty.header(),
        }

    def save(self, path: Path) -> None:
        """Write weights, constants, architecture, basis and provenance into one safetensors file, atomically."""
        header = self._header()
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        files.write_bytes(path, save(tensors, {"densnet": json.dumps(header)}))


def load(model: Path | str, device: str | torch.device = "cpu") -> Predictor:
    """The model in a file written by `Predictor.save`, or the shipped one of that name.

    Raises `CheckpointError`; nothing in the file is guessed or ignored.
    """
    try:
        path = shipped.find(model)
    except FileNotFoundError as error:
        raise CheckpointError(str(error)) from None
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            header = json.loads((file.metadata() or {})["densnet"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, KeyError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} is not a densnet model, or it is damaged ({type(error).__name__}: {error}); copy or train it again."
        ) from None
    if header["format"] < OLDEST:
        raise CheckpointError(f"{path} has checkpoint format {header['format']}, of networks that densnet no longer has; train it again.")
    if header["format"] > NEWEST:
        raise CheckpointError(
            f"{path} has checkpoint format {header['format']}, densnet {densnet.__version__} reads up to {NEWEST}; please upgrade densnet."
        )
    header = upgraded(header)
    predictor = _built(header, path)
    if header.get("uncertainty") is not None and {"uncertainty.energy", "uncertainty.dipole"} <= tensors.keys():
        predictor.uncertainty = Rigidity.from_header(header["uncertainty"], tensors)
    expected = predictor.state_dict()
    wrong = sorted(set(expected) ^ set(tensors)) or [n for n, t in tensors.items() if t.shape != expected[n].shape]
    if wrong:
        raise CheckpointError(f"{path} does not fit its own settings (tensor {wrong[0]!r}); the file is damaged or from another densnet.")
    predictor.to(next(t.dtype for n, t in tensors.items() if n.endswith("embedding")))
    predictor.load_state_dict(tensors)
    predictor.energy_network.set_statistics(**header["architecture"]["energy"]["constants"])
    return predictor.to(device).eval().requires_grad_(False)


def _built(header: dict, path: Path) -> Predictor:
    """The networks that a header of the newest format describes, without their weights."""
    architecture, basis, neighbours = header["architecture"], DensityBasis.from_dict(header["basis"]), header["neighbours"]
    known = {"density": (DensityNetwork.kind,), "energy": (EnergyNetwork.kind,), "response": (None, ResponseNetwork.kind)}
    for part, kinds in known.items():
        kind = architecture[part] and architecture[part]["kind"]
        if kind not in kinds:
            raise CheckpointError(f"{path} has a {part} network of a kind that this densnet does not know, {kind!r}; please upgrade.")
    sizes = {part: about["settings"] for part, about in architecture.items() if about}
    settings = parse(ModelSettings, sizes, f"{path.name}: settings")
    predictor = Predictor.of(settings, basis, neighbours, header["provenance"])
    if architecture["response"]:
        predictor.add_response_network(settings.response)
    return predictor
