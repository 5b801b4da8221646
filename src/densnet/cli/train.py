"""`densnet train`: labels -> one file that holds both networks."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[
        list[Path], typer.Argument(help="Labels: shards (.h5) or folders from `densnet label`, or HDF5 files with occupied orbitals.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for model.safetensors and restart files.")] = Path("model"),
    settings: Annotated[Path | None, typer.Option(help="TOML file; its sections \\[density], \\[model] and \\[train] are used.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Start from this model (file or shipped name); its sizes and basis are kept, \\[model] is ignored.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; overrides \\[train] device.")] = None,
    *,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Only calibrate the uncertainties of --start on its labels; weights are not changed.")
    ] = False,
    response: Annotated[
        bool, typer.Option("--response", help="Only train the density response of --start to a static field; nothing else is changed.")
    ] = False,
) -> None:
    """Train the density network and the energy network on labelled frames.

    A fraction of the trajectories (`train.validation_fraction`) is used for validation. Ctrl-C loses only the steps since the last
    validation; the same command continues. Several processes or GPUs: `torchrun --nproc-per-node 4 -m densnet train ...`
    (docs/cluster.md). Assess the result with `densnet evaluate` on labels that were not given here.
    At the end the expected errors of the model are calibrated (docs/uncertainty.md); `--calibrate` adds them to an existing model.
    Labels of energies and forces alone (extended xyz) train the energy network of --start where `train.points.steps` is 0.
    `--response` adds a third network for polarizabilities to an existing model, trained on the labels that contain a response to a field.
    """
    from densnet.cli.console import activity, say
    from densnet.dataset import store
    from densnet.density.basis import DensityBasis
    from densnet.model.predictor import ModelSettings, load
    from densnet.settings import parse
    from densnet.training import ranks
    from densnet.training.settings import TrainSettings
    from densnet.training.statistics import move_references
    from densnet.workflow.dispersion import with_dispersion
    from densnet.workflow.fitting import examples_of, train_on, untrained
    from densnet.workflow.folder import only_one
    from densnet.workflow.settings import DensitySettings, read_sections
    from densnet.workflow.splits import elements_of, parted

    if calibrate:
        add_uncertainty(data, start, out, settings, device)
        return
    if response:
        add_response(data, start, out, settings, device)
        return
    chosen = read_sections(settings, {"density": DensitySettings, "model": ModelSettings, "train": TrainSettings})
    plan = parse(TrainSettings, chosen["train"].model_dump() | ({} if device is None else {"device": device}), "command line")
    labels = with_dispersion(store.read(*data), plan.dispersion)
    former = None if start is None else load(start)
    basis = DensityBasis.built_in(chosen["density"].basis, elements_of(labels)) if former is None else former.basis
    if former is not None and former.density_network.flexed and plan.density.steps:
        say(f"{start} has learned exponents; the density phase, which assumes the original ones, is skipped")
        plan = plan.model_copy(update={"density": plan.density.model_copy(update={"steps": 0})})
    known, watched = parted(labels, plan, former, say)
    with ranks.joined(plan.device), only_one(out, "densnet train") if ranks.first() else nullcontext():
        say(f"{len(known)} training frames, {len(watched)} validation frames, on {ranks.count()} x {plan.place}")
        with ranks.after_the_first(), activity("fitting densities") as progress:
            parts = examples_of((known, watched), basis, out / "examples", chosen["density"].points, plan, progress)
        if former is not None and former.provenance.get("level") != labels.level:
            moved = move_references(former, (example.properties for example in parts[0]))
            say(f"labels of another level of theory than those of {start}: reference energies moved by {moved:+.4f} hartree per molecule")
        with activity("training") as progress:
            predictor = former or untrained(parts[0], chosen["model"], basis, plan.seed)
            predictor = train_on(predictor, parts, plan, out, progress, labels.level)
        if ranks.first():
            predictor.save(out / "model.safetensors")
    say(f"written: {out / 'model.safetensors'}")


RESPONSE_STEPS = 3000
"""Of training network 3 where the settings say nothing of it."""


def add_response(data: list[Path], start: str | None, out: Path, settings: Path | None, device: str | None) -> None:
    """``out/model.safetensors``: the model ``start`` with a network 3 trained on those of the labels ``data`` that hold a response.

    Of ``settings`` the sections [density], [model.response] and [train] are used, of the last one everything but the other phases.
    A network 3 that the model has is trained on, unless it is of another size.
    """
    from densnet.cli.console import activity, say
    from densnet.dataset import store
    from densnet.dataset.dataset import Dataset
    from densnet.model.predictor import ModelSettings, ResponseMissing, load
    from densnet.settings import parse
    from densnet.training import ranks
    from densnet.training.settings import TrainSettings
    from densnet.workflow.fitting import train_on
    from densnet.workflow.folder import only_one
    from densnet.workflow.preparation import prepare
    from densnet.workflow.settings import DensitySettings, read_sections
    from densnet.workflow.splits import parted

    if start is None:
        raise ResponseMissing("`--response` needs `--start`: the model whose density is to answer a field.")
    chosen = read_sections(settings, {"density": DensitySettings, "model": ModelSettings, "train": TrainSettings})
    values = chosen["train"].model_dump() | ({} if device is None else {"device": device})
    values |= {phase: {**values[phase], "steps": 0} for phase in ("density", "points", "energy", "joint")}
    values["response"]["steps"] = values["response"]["steps"] or RESPONSE_STEPS
    plan = parse(TrainSettings, values, "command line")
    labels = Dataset(label for label in store.read(*data) if label.properties.polarizability is not None)
    if not len(labels):
        raise ResponseMissing(f"no label in {', '.join(map(str, data))} holds a response; add it by `densnet label --add-response`.")
    predictor = load(start)
    if predictor.response_network is not None and predictor.settings.response != chosen["model"].response:
        say(f"network 3 of {start} is of another size and is replaced by a new one")
        predictor.response_network = None
    predictor.settings = predictor.settings.model_copy(update={"response": chosen["model"].response})
    parts = parted(labels, plan, predictor, say)
    with ranks.joined(plan.device), only_one(out, "densnet train") if ranks.first() else nullcontext():
        say(f"{len(parts[0])} frames to train on, {len(parts[1])} to validate, on {ranks.count()} x {plan.place}")
        with ranks.after_the_first(), activity("responses on points") as progress:
            points, place = chosen["density"].points, out / "examples"
            examples = [prepare(part, predictor.basis, place, points=points, progress=progress, fits=0) for part in parts]
        with activity("training") as progress:
            predictor = train_on(predictor, examples, plan, out, progress)
        if ranks.first():
            predictor.save(out / "model.safetensors")
    say(f"written: {out / 'model.safetensors'}")


def add_uncertainty(data: list[Path], start: str | None, out: Path, settings: Path | None, device: str | None) -> None:
    """``out/model.safetensors``: the model ``start`` with what it knows of its errors, from the labels ``data`` it was trained on.

    They are parted as in its training. Raises `CalibrationError` if there are not as many as then, or if ``settings`` are given.
    """
    from densnet.cli.console import activity, say
    from densnet.dataset import store
    from densnet.model.predictor import load
    from densnet.settings import parse
    from densnet.training.settings import TrainSettings
    from densnet.training.uncertainty import CalibrationError
    from densnet.workflow.dispersion import with_dispersion
    from densnet.workflow.fitting import with_uncertainty
    from densnet.workflow.splits import held_out

    if start is None:
        raise CalibrationError("`--calibrate` needs `--start`: the model to be calibrated.")
    if settings is not None:
        raise CalibrationError("`--calibrate` trains nothing and splits the labels by the settings of the model; omit `--settings`.")
    predictor = load(start)
    former = predictor.provenance.get("training", {})
    plan = parse(TrainSettings, former | {"device": device or "cpu"}, "command line")
    predictor = predictor.to(plan.place)
    parts = held_out(with_dispersion(store.read(*data), plan.dispersion), plan.validation_fraction, plan.seed, plan.validation_by)
    before = [predictor.provenance.get(f"{name}_frames", len(part)) for name, part in zip(("training", "validation"), parts)]
    if [len(part) for part in parts] != before:
        found = f"{len(parts[0])} and {len(parts[1])}"
        raise CalibrationError(f"{start} was trained on {before[0]} frames and validated on {before[1]}; these labels give {found}.")
    known, watched = ([label.properties for label in part] for part in parts)
    with activity("uncertainty") as progress:
        predictor = with_uncertainty(predictor, [p.molecules for p in known], watched, progress)
    out.mkdir(parents=True, exist_ok=True)
    predictor.save(out / "model.safetensors")
    say(f"written: {out / 'model.safetensors'}")
