"""One round of refining a model for a molecule: its dynamics, frames worth a label, labels, errors, training on all labels so far.

    dynamics by the model -> random frames, labelled -> errors of the model -> (targets missed) -> uncertain frames, labelled -> next model

The frames that judge a model are of its own dynamics and drawn at random; it has been trained on none of them. The next one is. Everything
lies in the folder of the round, and what is there is not made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from scipy.linalg import qr

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.errors import DensnetError
from densnet.files import read_json, write_json
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules, bonds
from densnet.progress import Progress
from densnet.reference import campaign, geometries
from densnet.reference.campaign import LabelSettings
from densnet.reference.geometries import Frame, SampleSettings
from densnet.reference.shipped import theory
from densnet.settings import Incidental, Section, cores
from densnet.simulation.ensembles import Langevin
from densnet.simulation.run import SimulateSettings, SimulationStopped, read_trajectory, simulate
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.statistics import move_references
from densnet.workflow.dispersion import with_dispersion
from densnet.workflow.evaluation import evaluate_on
from densnet.workflow.fitting import examples_of, train_on
from densnet.workflow.forces import force_function
from densnet.workflow.pretraining import pretrained


class RefinementError(DensnetError):
    """A model that cannot be refined for a molecule; the message says why."""


class TargetSettings(Section):
    """Mean errors on frames of the model's own dynamics below which it is good enough."""

    forces: float = Field(6.0, gt=0, description="absolute error of a force component, meV/A")
    dipole: float = Field(0.008, gt=0, description="length of the error of the dipole, D")
    density: float = Field(0.18, gt=0, description="of the density, percent of the electrons")

    def worst(self, errors: dict[str, float]) -> float:
        """The largest ratio of an error to its target; all targets hold where it is at most 1."""
        return max(errors[name] / target for name, target in self)


class TuningPhase(StageSettings):
    """One phase of it."""

    steps: int = Field(1000, ge=0, description="gradient steps from 60 labels on; fewer for fewer labels, in proportion")
    batch: int = Field(8, ge=1, description="frames per step")
    validate_every: int = Field(100, ge=1, description="steps between validations (and checkpoints)")


FULL = 60
"""Labels from which on a training has all the steps of its settings."""


class FineTuning(TrainSettings):
    """Settings of training as in [train], for some tens of frames from a trained model: all weights."""

    density: StageSettings = Field(default_factory=lambda: StageSettings(steps=0), description="not possible from a trained model")
    points: TuningPhase = Field(default_factory=lambda: TuningPhase(steps=900, learning_rate=1e-3), description="real space")
    energy: TuningPhase = Field(
        default_factory=lambda: TuningPhase(steps=1000, learning_rate=3e-4), description="energy and forces, density frozen"
    )
    dipole_weight: float = Field(20.0, ge=0, description="weight of the relative squared dipole error (density error: 1)")
    validation_fraction: float = Field(
        0.3, gt=0, lt=0.5, description="fraction of the judged frames used for validation; all others are trained on"
    )

    def of(self, labels: int) -> FineTuning:
        """With as many steps as are worth while for so many ``labels``."""
        phases = {name: getattr(self, name) for name in ("points", "energy")}
        steps = {name: min(phase.steps, -(-phase.steps * labels // FULL)) for name, phase in phases.items()}
        return self.model_copy(update={name: phase.model_copy(update={"steps": steps[name]}) for name, phase in phases.items()})


class RefineSettings(Section):
    """Rounds of labels and training that make a given model right for one molecule, until `targets` hold or a budget is spent."""

    targets: TargetSettings = Field(default_factory=TargetSettings, description="errors to be reached")
    labels: int = Field(70, gt=0, description="budget: reference calculations of all rounds")
    minutes: float = Field(15.0, gt=0, description="budget: wall time; a round that would exceed it is not begun")
    rounds: int = Field(4, ge=1, description="most rounds of training")
    frames: int = Field(20, gt=0, description="labels of a round to train on, the most uncertain frames")
    judged: int = Field(10, gt=1, description="labels of a round to judge the model, random frames; then trained on, too")
    temperature: float = Field(300.0, gt=0, description="K, of the dynamics that frames are taken from")
    replicas: int = Field(8, gt=1, description="trajectories of a round; at least as many as conformers")
    duration_ps: float = Field(1.0, gt=0, description="length of each, ps")
    thermalise_ps: float = Field(0.3, ge=0, description="before that, ps")
    timestep_fs: float = Field(1.0, gt=0, le=2, description="time step, fs")
    spacing_fs: float = Field(25.0, gt=0, description="time between frames that may be taken, fs")
    points: int = Field(4000, ge=100, description="points per frame at which the exact density is stored for training")
    semiempirical: StageSettings = Field(
        default_factory=lambda: StageSettings(steps=1200, batch=8, learning_rate=2e-3),
        description="energies of GFN2-xTB on the first round's dynamics, learned before those of labels; steps = 0 leaves it out",
    )
    train: FineTuning = Field(default_factory=FineTuning, description="training of a round, from the given model, on all labels so far")
    seed: int = Field(0, ge=0, description="random seed of the dynamics and of the frames that judge")
    threads: Incidental[int] = Field(0, ge=0, description="threads of the dynamics; 0 = all cores")

    def dynamics(self, number: int, conformers: int) -> SimulateSettings:
        """Of round ``number``; every core has a block of replicas."""
        replicas = max(self.replicas, conformers)
        return SimulateSettings(
            temperature=self.temperature, replicas=replicas, block=-(-replicas // (self.threads or cores())), threads=self.threads,
            timestep_fs=self.timestep_fs, thermalise_ps=self.thermalise_ps, thermalise_friction=10.0, duration_ps=self.duration_ps,
            sample_every=max(1, round(self.spacing_fs / self.timestep_fs)), ensemble=Langevin(friction=2.0), checkpoint_every=250,
            seed=1000 * self.seed + number,
        )  # fmt: skip


Parts = tuple[Dataset, Dataset]
"""Labels to train on and to validate."""

BUDGETS = {"targets", "labels", "minutes", "rounds"}
"""Settings that decide when the rounds end, and nothing in any of them."""


@dataclass(frozen=True)
class Round:
    """Round ``number`` in its folder ``place``, beside which examples of all rounds are kept.

    start  file of the conformers       tell  what the user should know
    """

    number: int
    place: Path
    start: Path
    plan: RefineSettings
    label: LabelSettings
    progress: Progress
    tell: Callable[[str], None]

    def judge(self, model: Predictor) -> dict:
        """Errors of ``model`` on labelled frames of its own dynamics, and what they cost: plain data, kept in ``judged.json``.

        Before the energies of a model of another level are compared, its reference energies are moved to these labels.
        """
        done = self.place / "judged.json"
        if not done.exists():
            with self._timed() as seconds:
                if not (self.place / "chosen.xyz").exists():
                    self._choose(model)
                labels = self._labels("judged", model)
                if of_another_level(model, self.label):
                    move_references(model, (label.properties for label in labels))
                found = evaluate_on(model, [label.properties for label in labels], None, self._progress("errors"))
            of = found.summary()
            errors = {
                "forces": of["force_mae_meV_per_A"], "dipole": of["dipole_mae_D"], "density": of["density_error_percent"],
                "energy": of["energy_mae_meV"],
            }  # fmt: skip
            source = "GFN2-xTB" if (self.place / "gfn2-xtb.xyz").exists() else "model"
            write_json(done, {"frames": len(labels), "errors": errors, "dynamics": source, "seconds": seconds()})
        return read_json(done)

    def train(self, start: Predictor, before: Parts) -> Parts:
        """``before`` and the labels of this round; from them and ``start`` the next model, kept in ``model.safetensors``.

        Of the frames that judged, drawn at random, the first ones validate; from all others the model learns.
        """
        with self._timed() as seconds:
            judged, chosen = self._labels("judged", start), self._labels("chosen", start)
            watched = max(1, round(self.plan.train.validation_fraction * len(judged)))
            now = judged.select(range(watched, len(judged))) + chosen, judged.select(range(watched))
            parts = before[0] + now[0], before[1] + now[1]
            if not self.model_file.exists():
                self.trained(start, parts).save(self.model_file)
                write_json(self.place / "trained.json", {"labels": len(parts[0] + parts[1]), "seconds": seconds()})
        return parts

    @property
    def model_file(self) -> Path:
        """The model after this round."""
        return self.place / "model.safetensors"

    @property
    def seconds(self) -> float:
        """Wall time of what is finished of this round."""
        parts = [self.place / name for name in ("judged.json", "trained.json")]
        return sum(float(read_json(part)["seconds"]) for part in parts if part.exists())

    def _choose(self, model: Predictor) -> None:
        """``frames.xyz``, of which ``judged.xyz``, drawn at random, and ``chosen.xyz``, `most_telling` of the others."""
        frames, wanted = self.dynamics(model), self.plan.judged + self.plan.frames
        if len(frames) < wanted:
            self.tell(f"dynamics by the model gave {len(frames)} sound frames of {wanted}: this round takes those of GFN2-xTB dynamics")
            frames = self._semiempirical(wanted)
        order = np.random.default_rng([self.plan.seed, self.number]).permutation(len(frames))
        judges, others = ([frames[i] for i in part] for part in (order[: self.plan.judged], order[self.plan.judged :]))
        best = most_telling(model, [frame.molecule for frame in others], self.plan.frames)
        about = {"round": self.number, **self.plan.deciding()}
        geometries.write(self.place / "frames.xyz", frames, about)
        geometries.write(self.place / "judged.xyz", judges, about)
        geometries.write(self.place / "chosen.xyz", [others[i] for i in best], about)

    def dynamics(self, model: Predictor) -> list[Frame]:
        """Frames in which every bond of the start is whole, of as much dynamics as the model could do."""
        start = Molecules.concatenate([frame.molecule for frame in geometries.read(self.start)])
        plan, place = self.plan.dynamics(self.number, start.count), self.place / "dynamics"
        forces = force_function(model, start, plan, self.tell)
        try:
            simulate(forces, start, plan, place, self._progress("dynamics"), {"model": model.fingerprint()})
        except SimulationStopped:
            if not (place / "trajectory.h5").exists():
                return []
        found, whole = read_trajectory(place), bonds(start.split()[0])
        molecules = (
            (replica, Molecules.single(found.numbers, x.double())) for replica, run in enumerate(found.positions) for x in run[1:]
        )
        kept = [(replica, m) for replica, m in molecules if torch.isfinite(m.positions).all() and torch.equal(bonds(m), whole)]
        return [Frame(m, self._trajectory(replica), self.plan.temperature) for replica, m in kept]

    def _semiempirical(self, wanted: int) -> list[Frame]:
        """Twice as many frames as wanted, of GFN2-xTB dynamics."""
        plan = SampleSettings(
            geometries=self.start, temperature=(self.plan.temperature,), frames=2 * wanted, trajectories=self.plan.replicas,
            first_trajectory=self._trajectory(0), seed=self.plan.seed, workers=self.label.workers,
        )  # fmt: skip
        return geometries.sample(plan, self.place / "gfn2-xtb.xyz", root=Path(), progress=self._progress("GFN2-xTB dynamics"))

    def _trajectory(self, replica: int) -> int:
        return 1000 * (self.number + 1) + replica

    def _labels(self, kind: str, model: Predictor) -> Dataset:
        """Of the frames ``judged`` or ``chosen``, with the dispersion that the model was trained with."""
        place, frames = self.place / kind, self.place / f"{kind}.xyz"
        tally = campaign.label(self.label, frames, place, store.save_label, store.load_label, progress=self._progress("labels"))
        if not tally.labelled:
            raise RefinementError(f"none of the {tally.aside} frames converged; the reasons are in {place / 'aside'}.")
        return with_dispersion(store.read(place), model.provenance.get("training", {}).get("dispersion", "as labelled"))

    def trained(self, start: Predictor, parts: Parts) -> Predictor:
        """``start`` trained on the first of ``parts``, validated on the second."""
        labels = parts[0] + parts[1]
        plan = self.plan.train.of(len(labels))
        start = self._pretrained(start) if self.plan.semiempirical.steps else start
        examples = examples_of(parts, start.basis, self.place.parent / "examples", self.plan.points, plan, self._progress("densities"))
        move_references(start, (label.properties for label in labels))
        return train_on(start, examples, plan, self.place / "training", self._progress("training"), labels.level)

    def _pretrained(self, start: Predictor) -> Predictor:
        """``start`` with the energies of GFN2-xTB for the molecule, the same in all rounds."""
        file = self.place.parent / "gfn2-xtb" / "model.safetensors"
        if not file.exists():
            plan = self.plan.train.model_copy(update={"energy": self.plan.semiempirical})
            frames = geometries.read(self.place / "frames.xyz")
            pretrained(start, frames, plan, file.parent / "training", self._progress("learning GFN2-xTB")).save(file)
        return load(file)

    def _progress(self, what: str) -> Progress:
        def tell(done: int, total: int | None, about: str | None = None, /) -> None:
            self.progress(done, total, f"round {self.number}, {about or what}")

        return tell

    @contextmanager
    def _timed(self) -> Iterator[Callable[[], float]]:
        """Makes the folder; gives a clock."""
        self.place.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        yield lambda: round(time.monotonic() - began, 1)


def most_telling(model: Predictor, molecules: Sequence[Molecules], count: int) -> list[int]:
    """Indices of the ``count`` of ``molecules`` whose labels say most about what the model does not know.

    With the features f of an energy and the root W of the covariance of the last weights, C^-1 = W W (`densnet.model.uncertainty`), the
    rows f W have the variances of the energies as squared lengths. Their QR decomposition with column pivoting takes the most uncertain
    frame first, and each further one by what of its variance those before it do not explain: so frames are uncertain and unlike each
    other. Without an uncertainty W is 1, and f is taken from its mean: then they are only unlike.
    """
    with torch.no_grad():
        parts = [model.features(Molecules.concatenate(list(molecules[i : i + 32]))).energy for i in range(0, len(molecules), 32)]
    features = torch.cat(parts).double()
    rows = features - features.mean(0) if model.uncertainty is None else features @ model.uncertainty.energy.double()
    _, order = qr(rows.T.numpy(), mode="r", pivoting=True)
    return [int(i) for i in order[:count]]


def of_another_level(model: Predictor, label: LabelSettings) -> bool:
    """Whether ``model`` says that it is of another level of theory than the labels."""
    level = model.provenance.get("level")
    return level is not None and theory(level) != theory(label.scf.level())


def start_of(file: Path) -> Predictor:
    """The given model, without what it says of a field, which training on would make wrong."""
    model = load(file)
    model.response_network = None
    return model
