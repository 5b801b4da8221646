"""What the density buys the energy: python benchmarks/energy_inputs.py [--model ethanol] [--lines density without ...] [--seeds 1 2 3]

The energy network of a shipped model, trained anew on the same frames, seed and steps, each time with something else to read:

    density    the coefficients that network 1 predicts, frozen, with their Jacobian along the atoms: what `densnet train` does
    without    the mean coefficients of each element, the same everywhere: geometry alone
    shuffled   the predicted coefficients of another frame, as wrong for this one as an independent frame's density is
    fitted     the coefficients fitted to the DFT density of the frame itself (its change along the atoms: that of network 1)
    projected  the predicted density as each atom sees the whole of it, in place of its own coefficients (projections.py)
    joint      `density`, then `--joint-steps` steps with both networks learning from energies, forces, dipoles and density

With `--frames` network 2 learns from so many frames only; network 1 stays the shipped one. A seed draws those frames and the weights; the
table has the means over the seeds. A line that was interrupted goes on, one that is done is not repeated (OUT/N-frames-seed-S). The fits
are kept in `--examples`. Judged on trajectories held out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from ablations import picked
from experiment import ETHANOL_500K, Table, conclude, frames, machine, machine_line, once, parser, training_options, write
from projections import expanded, with_probes

from densnet.dataset.dataset import Dataset
from densnet.model.density_network import DensityOutput
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.settings import parse
from densnet.training import fit
from densnet.training.examples import Example, FrozenDensity
from densnet.training.settings import TrainSettings
from densnet.training.stages import energy_stage, freeze, joint_stage
from densnet.workflow.fitting import FITTED, untrained
from densnet.workflow.preparation import prepare
from densnet.workflow.splits import held_out

POINTS = 4000
Frames = dict[str, list[Example]]
Read = Callable[[Predictor, Molecules], FrozenDensity]


def constant(predictor: Predictor, molecule: Molecules) -> FrozenDensity:
    """Mean coefficients of each element."""
    element, basis = predictor.element_of[molecule.numbers], predictor.basis
    mean = torch.nn.functional.pad(predictor.density_network.mean, (0, basis.width - basis.counts[0])).index_select(0, element)
    widths = mean.new_zeros(len(element), len(basis.slots))
    return FrozenDensity(DensityOutput(mean, widths), mean.new_zeros(3 * len(element), mean.numel() + widths.numel()))


def shuffled(sets: Frames) -> Read:
    """The density of the next frame but six of the same set, which is of another trajectory or long after."""
    other = {}
    for part in sets.values():
        for number, example in enumerate(part):
            other[id(example.molecule)] = part[(number + len(part) // 2) % len(part)].molecule

    def read(predictor: Predictor, molecule: Molecules) -> FrozenDensity:
        found = freeze(predictor, other[id(molecule)])
        return FrozenDensity(found.output, torch.zeros_like(found.jacobian))

    return read


def fitted(sets: Frames) -> Read:
    """The label's own coefficients, at the reference exponents."""
    density = {id(example.molecule): example for part in sets.values() for example in part}

    def read(predictor: Predictor, molecule: Molecules) -> FrozenDensity:
        coefficients, near = density[id(molecule)].prepared["coefficients"].float(), freeze(predictor, molecule)
        jacobian = near.jacobian.unflatten(1, (len(coefficients), -1)).clone()
        jacobian[..., coefficients.shape[1] :] = 0  # widths
        return FrozenDensity(DensityOutput(coefficients, torch.zeros_like(near.output.widths)), jacobian.flatten(1))

    return read


def started(model: str, sets: Frames, settings: TrainSettings) -> Predictor:
    """Network 1 as it is, network 2 new."""
    former = load(model)
    predictor = untrained(sets["training"], former.settings, former.basis, settings.seed)
    predictor.density_network.load_state_dict(former.density_network.state_dict())
    return predictor.to(settings.place).train().requires_grad_(True)


def line(name: str, folder: Path, sets: Frames, predictor: Predictor, settings: TrainSettings) -> dict:
    """Errors on each set of held-out frames after a training of ``predictor``."""
    reads = {"without": constant, "shuffled": shuffled(sets), "fitted": fitted(sets), "projected": expanded}
    folder.mkdir(parents=True, exist_ok=True)
    if name == "projected":
        predictor = with_probes(predictor, sets["training"])
    stage = partial(energy_stage, predictor, settings=settings, read=reads.get(name))
    fit.optimise(stage(sets["training"], sets["validation"]), settings.energy, settings, folder, lambda now: None)
    if name == "joint":
        stage = partial(joint_stage, predictor, settings=settings)
        fit.optimise(stage(sets["training"], sets["validation"]), settings.joint, settings, folder, lambda now: None)
    tests = (test for test in sets if test != "training")
    return {test: stage(sets["training"][:1], sets[test]).validate() for test in tests}


def prepared(seed: int, sets: dict[str, Dataset], chosen: argparse.Namespace) -> Frames:
    """Examples of each set, the training frames drawn by ``seed``; all fitted where a line reads that, else some, for the scales."""
    training = picked(sets["training"], chosen.frames, seed) if chosen.frames else sets["training"]
    every = "fitted" in chosen.lines
    basis, fits = load(chosen.model).basis, {name: None if every else 0 for name in sets} | {"training": None if every else FITTED}
    some = sets | {"training": training}
    return {name: prepare(part, basis, chosen.examples, points=POINTS, fits=fits[name]) for name, part in some.items()}


def table(results: dict[str, list[dict]]) -> Table:
    """A row a line, means over the seeds and, for forces, each of them."""
    tests = next(iter(results.values()))[0].keys()
    head = ["reads", *(f"{test}, {what}" for test in tests for what in ("meV/A", "each seed", "meV"))]
    rows = []
    for name, seeds in results.items():
        cells = []
        for test in tests:
            forces, energies = ([row[test][key] for row in seeds] for key in ("force_mae_meV_per_A", "energy_mae_meV"))
            cells += [mean(forces), ", ".join(f"{f:.3g}" for f in forces), mean(energies)]
        rows.append([name, *cells])
    return Table(head, rows)


def main() -> None:
    """Train, judge, print."""
    lines = ("density", "without", "shuffled", "fitted", "projected", "joint")
    options = parser(__doc__, "runs/energy_inputs")
    training_options(options, "runs/ethanol-examples")
    options.add_argument("--model", default="ethanol")
    options.add_argument("--lines", nargs="+", choices=lines, default=lines)
    options.add_argument("--seeds", nargs="+", type=int, default=[1])
    options.add_argument("--steps", type=int, default=3000)
    options.add_argument("--joint-steps", type=int, default=1000)
    options.add_argument("--frames", type=int, default=0, help="training frames of network 2; 0 = all")
    options.add_argument("--tests", nargs="*", default=["heldout_300K", "heldout_500K"])
    chosen = options.parse_args()
    torch.set_num_threads(1)
    former = load(chosen.model).provenance["training"]
    steps = {"energy": {**former["energy"], "steps": chosen.steps}, "joint": {**former["joint"], "steps": chosen.joint_steps}}
    settings = parse(TrainSettings, {**former, **steps, "threads": chosen.threads, "device": chosen.device}, "training of the model")
    sets = dict(zip(("training", "validation"), held_out(frames(*ETHANOL_500K), settings.validation_fraction, settings.seed)))
    sets |= {name: frames(f"ethanol/{name}") for name in chosen.tests}
    count = chosen.frames or len(sets["training"])
    print(f"energy network of `{chosen.model}`, {count} frames, {chosen.steps} steps; {machine_line()}", flush=True)
    results: dict[str, list[dict]] = {name: [] for name in chosen.lines}
    for seed in chosen.seeds:
        examples = prepared(seed, sets, chosen)
        own = settings.model_copy(update={"seed": seed})
        for name in chosen.lines:
            folder = chosen.out / f"{count}-frames-seed-{seed}" / name
            result = once(folder / "result.json", lambda: line(name, folder, examples, started(chosen.model, examples, own), own))  # noqa: B023
            results[name].append(result)
            print(f"{name}, seed {seed}:", {test: round(row["force_mae_meV_per_A"], 2) for test, row in result.items()}, flush=True)
    write(chosen.out / "results.json", {**machine(), "steps": chosen.steps, "joint_steps": chosen.joint_steps, "lines": results})
    conclude(chosen, "energy_inputs", {"few-frames" if chosen.frames else "all-frames": table(results)})


if __name__ == "__main__":
    main()
