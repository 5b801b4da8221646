"""Dynamics on a GPU: between samples the CPU never waits for it and sends it nothing; seen on the CPU by what would make it wait."""

from contextlib import contextmanager

import pytest
import torch
from springs import WATER
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from densnet import units
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.simulation import initial, integrators
from densnet.simulation.blocks import Blocks
from densnet.simulation.ensembles import Conditions, Langevin, Nve, Svr
from densnet.simulation.run import SimulateSettings, read_trajectory, simulate
from densnet.simulation.watch import Watch
from densnet.workflow.forces import force_function
from tests.model.random_model import ETHANOL, random_predictor, scattered
from tests.simulation.springs import Springs, kelvin, replicas

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

OPERATIONS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "repeat_interleave", "bincount", "lift_fresh")
"""Of ATen: a number or a size that the CPU must know (as `item`, `bool`, `nonzero` ask for), or data of the CPU made a tensor."""
METHODS = ("tolist", "numpy", "cpu", "__array__")
"""Of tensors: what ATen does not see on the CPU."""


class Operations(TorchDispatchMode):
    def __init__(self, found: list[str]):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        indices = [i for a in args if isinstance(a, list | tuple) for i in a] if name.startswith("index") else []
        if name in OPERATIONS or any(torch.is_tensor(i) and i.dtype == torch.bool for i in indices):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


class Methods(TorchFunctionMode):
    def __init__(self, found: list[str]):
        super().__init__()
        self.found = found

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        places = [a for a in (*args[1:], *(kwargs or {}).values()) if isinstance(a, str | torch.device)]
        if name in METHODS or (name == "to" and places):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@contextmanager
def waits():
    """The list of what would make the CPU wait for a GPU, filled while it goes on."""
    found: list[str] = []
    with Methods(found), Operations(found):
        yield found


OFFENDERS = {
    "item": lambda x: x[0].item(), "float": lambda x: float(x[0]), "int": lambda x: int(x[0]), "bool": lambda x: bool(x[0] > 0),
    "list": lambda x: x.tolist(), "numpy": lambda x: x.numpy(), "cpu": lambda x: x.cpu(), "to": lambda x: x.to("cpu"),
    "device": lambda x: x.to(device="cpu"), "nonzero": lambda x: x.nonzero(), "mask": lambda x: x[x > 0],
    "equal": lambda x: torch.equal(x, x), "write": lambda x: x.clone().index_put_((x > 0,), x[0]), "tensor": lambda x: torch.tensor([1.0]),
    "like": lambda x: x.new_tensor([1.0]),
    "listed": lambda x: x[[1, 0]], "unique": lambda x: x.unique(), "repeat": lambda x: x.repeat_interleave(x.new_ones(3).long()),
    "count": lambda x: torch.bincount(x.long().abs()),
}  # fmt: skip


@pytest.mark.parametrize("name", OFFENDERS)
def test_what_makes_the_cpu_wait_is_seen(name):
    with waits() as found:
        OFFENDERS[name](torch.randn(3))
    assert found


def random_frozen():
    return random_predictor().requires_grad_(False)


def trained():
    return load("ethanol")


def ethanol() -> Molecules:
    return read(shipped.geometries("ethanol"))[0].molecule


def shaken(device="cpu") -> Molecules:
    start = ethanol()
    noise = 0.02 * torch.randn(3, *start.positions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Molecules.replicas(start.numbers, start.positions + noise).to(device)


def step_and_state(ensemble, forces, molecules):
    generator = torch.Generator(molecules.positions.device).manual_seed(2)
    state = integrators.init(forces, molecules, initial.maxwell_boltzmann(molecules, kelvin(300), generator))
    timestep, freedom = 0.5 * units.FEMTOSECOND, initial.degrees_of_freedom(molecules, translation=False, rotation=True)
    step = ensemble.step(forces, molecules, Conditions(timestep, kelvin(300), freedom, generator))
    return step, step(state)


@pytest.mark.parametrize("make", [random_frozen, trained])
@pytest.mark.parametrize("block", [3, 2])
@pytest.mark.parametrize("ensemble", [Nve(), Langevin(friction=5), Svr()], ids=lambda e: e.kind)
def test_a_step_waits_for_nothing(ensemble, block, make):
    molecules = shaken()
    step, state = step_and_state(ensemble, Blocks(make(), molecules, block, 1), molecules)
    with waits() as found:
        step(step(state))
    assert not found


@needs_gpu
@pytest.mark.parametrize("ensemble", [Nve(), Langevin(friction=5)], ids=lambda e: e.kind)
def test_a_gpu_says_so_too(ensemble):
    molecules = shaken("cuda")
    step, state = step_and_state(ensemble, Blocks(load("ethanol", "cuda"), molecules, 2, 1), molecules)
    try:
        torch.cuda.set_sync_debug_mode("error")
        step(step(state))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_check_waits_once():
    pair = Molecules.single(WATER.numbers.repeat(2), torch.cat([WATER.positions, WATER.positions + 5.0]))
    state = integrators.init(Springs(pair), replicas(pair, 2), torch.zeros(12, 3))
    watch = Watch(state.molecules, 0.5 * units.FEMTOSECOND, 1.6, None)
    watch(state)
    with waits() as found:
        watch(state)
    assert found == ["_local_scalar_dense"]


@needs_gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_on_a_gpu_is_that_on_the_cpu(tmp_path, compiled):
    found = {}
    for device in ("cpu", "cuda"):
        settings = SimulateSettings(
            replicas=3, thermalise_ps=0, duration_ps=0.05, temperature=1e-6, device=device, compile=compiled and device == "cuda"
        )
        forces = force_function(load("ethanol", device), ethanol(), settings, print)
        simulate(forces, ethanol(), settings, tmp_path / device)
        found[device] = read_trajectory(tmp_path / device)
    assert torch.allclose(found["cuda"].positions, found["cpu"].positions, atol=1e-4)
    assert torch.allclose(found["cuda"].dipole, found["cpu"].dipole, atol=1e-4)


def test_only_the_first_call_for_a_batch_waits():
    predictor, molecules = random_frozen(), scattered(ETHANOL)
    with waits() as found:
        predictor(molecules)
    assert found
    with waits() as found:
        predictor(molecules)
    assert not found
