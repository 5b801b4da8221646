"""Milliseconds of other programs, run in whichever environment they live: peers_speed.py NAME CALLS FOLDER MOLECULE.xyz ...

Untrained weights in float32; time does not depend on them. Energy and forces of each molecule on prepared input (the neighbour list is not
in the time), then of `REPLICAS` copies of the first in one batch, then training: forward, forces, backward of `BATCH` copies of the first,
without an optimiser. One thread, medians of CPU time. A program that can compile does so into FOLDER, once. The last line printed is JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from measuring import milliseconds

REPLICAS, BATCH, TRAINING_CALLS, CUTOFF = 64, 16, 20, 5.0
SYMBOLS = ["H", "C", "O", "S"]
NUMBERS = [1, 6, 8, 16]

Evaluate = Callable[[], tuple[torch.Tensor, torch.Tensor]]
"""Energies and forces of a prepared batch."""


@dataclass(frozen=True)
class Peer:
    """A network, what makes a call of it, ``prepare(molecules, training)``, and what makes calls of the compiled one from a file's path."""

    network: torch.nn.Module
    prepare: Callable[[list[Atoms], bool], Evaluate]
    package: str
    compiled: Callable[[Path, list[Atoms]], list[Evaluate]] | None = None


def mace(hidden: str) -> Peer:
    from mace import data, modules
    from mace.modules.models import o3
    from mace.tools import AtomicNumberTable, torch_geometric

    network = modules.ScaleShiftMACE(
        r_max=CUTOFF, num_bessel=8, num_polynomial_cutoff=5, max_ell=3, num_interactions=2, num_elements=len(NUMBERS), correlation=3,
        interaction_cls_first=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        hidden_irreps=o3.Irreps(hidden), MLP_irreps=o3.Irreps("16x0e"), atomic_energies=np.zeros(len(NUMBERS)), avg_num_neighbors=10.0,
        atomic_numbers=NUMBERS, gate=torch.nn.functional.silu, atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip
    table = AtomicNumberTable(NUMBERS)

    def prepare(molecules: list[Atoms], training: bool) -> Evaluate:
        graphs = [data.AtomicData.from_config(data.config_from_atoms(m), z_table=table, cutoff=CUTOFF) for m in molecules]
        batch = next(iter(torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False))).to_dict()

        def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
            found = network(dict(batch), training=training, compute_force=True)
            return found["energy"], found["forces"]

        return evaluate

    return Peer(network, prepare, "mace-torch")


def nequip(settings: dict, preset: str = "") -> Peer:
    from nequip import model as models
    from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
    from nequip.utils.global_state import set_global_state

    set_global_state()
    made = models.PresetNequIPGNNModel(preset=preset, **settings) if preset else models.NequIPGNNModel(**settings)
    network = made if isinstance(made, torch.nn.Module) else next(iter(made.values()))
    mapper = ChemicalSpeciesToAtomTypeMapper(SYMBOLS, {s: s for s in SYMBOLS})

    def frame(molecule: Atoms) -> dict:
        boxed = Atoms(molecule.numbers, molecule.positions, cell=[100] * 3)  # its compiler divides by the volume
        return mapper(compute_neighborlist_(from_ase(boxed), r_max=CUTOFF))

    def prepare(molecules: list[Atoms], training: bool) -> Evaluate:
        batch = AtomicDataDict.batched_from_list([frame(m) for m in molecules])

        def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
            found = network(dict(batch))
            return found["total_energy"], found["forces"]

        return evaluate

    def compiled(path: Path, molecules: list[Atoms]) -> list[Evaluate]:
        """As `nequip-compile --mode aotinductor --target ase` does it."""
        from nequip.nn.compile import DictInputOutputWrapper
        from nequip.scripts._compile_utils import ASE_TARGET
        from nequip.utils.aot import aot_export_model

        fields = ASE_TARGET["input"], ASE_TARGET["output"]
        frames = [ASE_TARGET["data_settings"](frame(m)) for m in molecules]
        if not path.exists():
            sizes = {name: torch.export.Dim(f"num_{name}s", min=2, max=torch.inf) for name in ("node", "edge")}
            batch = ASE_TARGET["batch_map_settings"]({"graph": None, **sizes})
            aot_export_model(network, "cpu", *fields, frames[0], batch, str(path))
        fast = DictInputOutputWrapper(torch._inductor.aoti_load_package(str(path)), *fields)
        return [lambda f=f: fast({name: f[name] for name in fields[0]}) for f in frames]

    return Peer(network, prepare, "nequip", compiled)


NEQUIP = {
    "seed": 1, "model_dtype": "float32", "type_names": SYMBOLS, "r_max": CUTOFF, "compile_mode": "eager", "avg_num_neighbors": 10.0,
    "per_type_energy_scales": 1.0, "per_type_energy_shifts": 0.0,
}  # fmt: skip


def painn(channels: int, layers: int) -> Peer:
    import schnetpack as spk
    from schnetpack import atomistic, model, representation
    from schnetpack.interfaces import AtomsConverter
    from schnetpack.transform import ASENeighborList

    body = representation.PaiNN(channels, layers, spk.nn.radial.GaussianRBF(20, CUTOFF), spk.nn.cutoff.CosineCutoff(CUTOFF))
    heads = [atomistic.Atomwise(n_in=channels, output_key="energy"), atomistic.Forces(energy_key="energy", force_key="forces")]
    network = model.NeuralNetworkPotential(body, input_modules=[atomistic.PairwiseDistances()], output_modules=heads)
    converter = AtomsConverter(neighbor_list=ASENeighborList(CUTOFF), dtype=torch.float32, device="cpu")

    def prepare(molecules: list[Atoms], training: bool) -> Evaluate:
        batch = converter(molecules)

        def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
            found = network(dict(batch))
            return found["energy"], found["forces"]

        return evaluate

    return Peer(network, prepare, "schnetpack")


PEERS: dict[str, Callable[[], Peer]] = {
    "nequip-S": lambda: nequip(NEQUIP, "S"),
    "nequip-l1": lambda: nequip(NEQUIP | {"num_layers": 4, "l_max": 1, "parity": True, "num_features": 32}),
    "mace-64x0e": lambda: mace("64x0e"),
    "mace-128x0e+128x1o": lambda: mace("128x0e+128x1o"),
    "painn-128": lambda: painn(128, 3),
}


def training_step(network: torch.nn.Module, evaluate: Evaluate) -> Callable[[], None]:
    def step() -> None:
        network.zero_grad(set_to_none=True)
        energy, forces = evaluate()
        (energy.square().mean() + forces.square().mean()).backward()

    return step


def main() -> None:
    name, calls, folder, files = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    molecules = [ase.io.read(file) for file in files]
    peer = PEERS[name]()
    network = peer.network.float()
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    found = {"parameters": parameters, "version": f"{peer.package} {version(peer.package)}", "torch": torch.__version__}
    network.eval()
    found["ms"] = [milliseconds(peer.prepare([molecule], False), calls) for molecule in molecules]
    found["replicas_ms"] = milliseconds(peer.prepare(molecules[:1] * REPLICAS, False), max(10, calls // 3)) / REPLICAS
    network.train()
    step = training_step(network, peer.prepare(molecules[:1] * BATCH, True))
    found["training_frames_per_s"] = 1000 * BATCH / milliseconds(step, TRAINING_CALLS)
    if peer.compiled:
        fast = peer.compiled(folder / f"{name}.nequip.pt2", molecules)
        found["compiled_ms"] = [milliseconds(call, calls) for call in fast]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
