"""`densnet train`: labels -> one file that holds both networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from densnet.dataset.dataset import Dataset


def train(
    data: Annotated[list[Path], typer.Argument(help="Labels: shards (.h5) or folders of `densnet label`, or HDF5 with occupied orbitals.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for model.safetensors and what is needed to go on.")] = Path("model"),
    settings: Annotated[Path | None, typer.Option(help="TOML file; its sections [density], [model] and [train] are used.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Go on from this model, a file or a shipped name; its sizes and basis stand, [model] is not used.")
    ] = None,
) -> None:
    """Train the density network and the energy network on labelled frames.

    Part of the trajectories ([train] validation_fraction) watches over the training. Ctrl-C loses nothing but the steps since the last
    validation: the same command goes on. Judge the result with `densnet evaluate` on labels that were not given here.
    """
    from densnet.cli.console import activity, say
    from densnet.cli.fitting import examples_of, train_on, untrained
    from densnet.cli.runfile import DensitySettings, read_sections
    from densnet.dataset import store
    from densnet.density.basis import DensityBasis
    from densnet.model.predictor import ModelSettings, load
    from densnet.training.settings import TrainSettings

    chosen = read_sections(settings, {"density": DensitySettings, "model": ModelSettings, "train": TrainSettings})
    labels = store.read(*data)
    former = None if start is None else load(start)
    basis = DensityBasis.built_in(chosen["density"].basis, elements_of(labels)) if former is None else former.basis
    known, watched = held_out(labels, chosen["train"].validation_fraction, chosen["train"].seed)
    out.mkdir(parents=True, exist_ok=True)
    say(f"{len(known)} frames to train on, {len(watched)} to validate")
    with activity("fitting densities") as progress:
        parts = [examples_of(part, basis, out / "examples", chosen["density"].points, progress) for part in (known, watched)]
    with activity("training") as progress:
        predictor = former or untrained(parts[0], chosen["model"], basis, chosen["train"].seed)
        predictor = train_on(predictor, parts, chosen["train"], out, progress)
    predictor.save(out / "model.safetensors")
    say(f"written: {out / 'model.safetensors'}")


def elements_of(labels: Dataset) -> list[int]:
    """Atomic numbers of all elements in ``labels``, ascending."""
    return sorted({z for label in labels for z in label.properties.molecules.numbers.tolist()})


def held_out(labels: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """``labels`` without and with whole trajectories that make up about ``fraction`` of the frames; see `dataset.batches.split`."""
    from densnet.dataset.batches import split

    known, apart = split(labels, (1 - fraction, fraction), seed)
    return known, apart
