"""i-PI: a model as its driver, inside its process (`ffdirect`, all beads in one call) or over a socket.

i-PI (https://ipi-code.org) moves the nuclei - path integrals, thermostatted ring polymers, replica exchange - and asks for energies and
forces; dipole, polarizability and uncertainty go with each answer as JSON, which i-PI writes out as ``extras``. Both ends count in atomic
units.

In i-PI's input this file is a custom potential, its path is what ``densnet drive --path`` prints::

    <ffdirect name="densnet"> <pes> custom </pes> <pes_path> .../ipi.py </pes_path> <batch_size> 32 </batch_size>
      <parameters> {model: water, geometry: water.xyz} </parameters> </ffdirect>
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import torch
from ase import units as ase_units  # those that the protocol converts with, so that nothing is lost on the way
from ase.calculators.socketio import IPIProtocol, SocketClosed, actualunixsocketname
from numpy.typing import NDArray

from densnet.errors import DensnetError
from densnet.model.compiled import Compiled
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.observables.response import ForceFunction
from densnet.properties import Properties
from densnet.reference.geometries import read

__DRIVER_NAME__ = "densnet"
__DRIVER_CLASS__ = "Driver"

Answer = tuple[float, NDArray, NDArray, str]
"""Energy (hartree), forces [atoms, 3] (hartree/bohr), virial [3, 3] (hartree), JSON of everything else (atomic units)."""


class DriverError(DensnetError):
    """Questions that cannot be answered, or an i-PI that cannot be reached; the message says why."""


class Beads:
    """Answers for geometries of one molecule: ``like`` gives its elements, ``force_function`` energies and forces (maybe a dipole)."""

    def __init__(self, force_function: ForceFunction, like: Molecules):
        self.force_function, self.numbers = force_function, like.numbers

    def __call__(self, positions: NDArray) -> list[Answer]:
        """One answer a bead, all from one call of the force function; ``positions`` [beads, atoms, 3] bohr.

        The virial is sum_i r_i f_i, the extras hold ``dipole`` [3], ``polarizability`` [9] (row by row), ``energy_uncertainty``,
        ``dipole_uncertainty`` and ``novelty`` as far as they are known.
        """
        if positions.ndim != 3 or positions.shape[1] != len(self.numbers):
            raise DriverError(f"i-PI moves {positions.shape[-2]} atoms, but the geometry given to the driver has {len(self.numbers)}.")
        found = self.force_function(Molecules.replicas(self.numbers, torch.from_numpy(np.ascontiguousarray(positions, dtype=np.float64))))
        energy = found.require("energy", "forces").detach().energy.cpu().double().tolist()
        forces = found.forces.detach().cpu().double().numpy().reshape(positions.shape)
        virial = np.einsum("bai,baj->bij", positions, forces)
        return list(zip(energy, forces, virial, map(json.dumps, _extras(found))))


def _extras(found: Properties) -> list[dict[str, float | list[float]]]:
    """What else is known of each molecule, atomic units."""
    known = {} if found.dipole is None else {"dipole": found.dipole}
    if found.polarizability is not None:
        known["polarizability"] = found.polarizability.flatten(1)
    if (uncertainty := found.uncertainty) is not None:
        known |= {"energy_uncertainty": uncertainty.energy, "dipole_uncertainty": uncertainty.dipole, "novelty": uncertainty.novelty}
    columns = {name: values.detach().cpu().double().tolist() for name, values in known.items()}
    return [{name: column[bead] for name, column in columns.items()} for bead in range(found.molecules.count)]


class Driver:
    """The potential of i-PI's `ffdirect`: ``model`` is a file or a shipped name, ``geometry`` an xyz file with the atoms in i-PI's order.

    With ``beads`` > 0 the model is compiled for batches of that size (minutes, once; i-PI's ``batch_size`` is to be the same), which a
    batch of another size does without. ``polarizability`` of a model that predicts it can be left out, to save its time. ``verbosity`` is
    i-PI's and not used.
    """

    def __init__(
        self, model: str, geometry: str, beads: int = 0, device: str = "cpu", verbosity: object = None, *, polarizability: bool = True
    ):
        predictor, like = load(model, torch.device(device)), read(Path(geometry))[0].molecule
        respond = predictor.respond if polarizability and predictor.response_network is not None else None
        self.beads, self.count = Beads(_with_polarizability(predictor, respond), like), beads
        if beads:
            replicas = like.copies(like.positions.expand(beads, -1, -1))
            self.compiled = Beads(_with_polarizability(Compiled(predictor, replicas), respond), like)

    def __call__(self, cell: NDArray | list[NDArray], pos: NDArray | list[NDArray]) -> list:
        """Answers for a list of geometries [atoms, 3] (bohr), or the answer for a single one; the ``cell`` is empty space."""
        if not isinstance(pos, list):
            return list(self.beads(pos[None])[0])
        answer = self.compiled if self.count and len(pos) == self.count else self.beads
        return [list(one) for one in answer(np.stack(pos))]


def _with_polarizability(force_function: ForceFunction, respond: ForceFunction | None) -> ForceFunction:
    if respond is None:
        return force_function

    def both(molecules: Molecules) -> Properties:
        with torch.no_grad():
            alpha = respond(molecules).polarizability
        return force_function(molecules).replace(polarizability=alpha)

    return both


def serve(beads: Beads, place: socket.socket) -> int:
    """Answers i-PI's questions on a connected socket until it says EXIT or goes away; how many were answered.

    One geometry a question: i-PI sends the beads one after the other, so run as many drivers as there are cores, or use `ffdirect`.
    """
    protocol, answers, answer = IPIProtocol(place), 0, None
    handlers = {
        "STATUS": lambda: protocol.sendmsg("READY" if answer is None else "HAVEDATA"),
        "INIT": protocol.recvinit,
    }
    try:
        while (question := protocol.recvmsg()) != "EXIT":
            if question in handlers:
                handlers[question]()
            elif question == "POSDATA":
                _, _, positions = protocol.recvposdata()
                [answer] = beads(positions[None] / ase_units.Bohr)
            elif question == "GETFORCE" and answer is not None:
                _send(protocol, answer)
                answers, answer = answers + 1, None
            else:
                raise DriverError(f"i-PI asked {question!r} out of turn; its version and this driver do not fit.")
    except (SocketClosed, ConnectionResetError):
        pass
    return answers


def _send(protocol: IPIProtocol, answer: Answer) -> None:
    energy, forces, virial, extras = answer
    message = np.frombuffer(extras.encode(), dtype=np.byte)
    protocol.sendforce(energy * ase_units.Ha, forces * (ase_units.Ha / ase_units.Bohr), virial * ase_units.Ha, message)


def connect(address: str, port: int | None) -> socket.socket:
    """To i-PI's `ffsocket`: host ``address`` and ``port``, or the name of a unix socket if there is no port. Raises `DriverError`."""
    try:
        if port is not None:
            return socket.create_connection((address, port))
        place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place.connect(actualunixsocketname(address))
        return place
    except OSError as error:
        where = f"{address}:{port}" if port is not None else actualunixsocketname(address)
        raise DriverError(f"no i-PI listens at {where} ({error.strerror}); start i-PI first, with the same address.") from error
