"""Spectra of molecules that no model was trained on, against measured curves in km/mol: docs/benchmark.md.

    python benchmarks/quant_ir.py --curves FOLDER [--model MODEL ...] [--loop [--level PBE0 PBE]] [--pictures FOLDER] [--record]

FOLDER holds measured curves of gases on the molar scale: JCAMP-DX of the NIST quantitative infrared database, or tables of km/mol per
cm^-1. A curve belongs to the molecule of labels/organic/heldout.csv that its file, or the title in it, is named after. Each model is used
as it is (zero-shot, as by `densnet run MOLECULE --start MODEL --zero-shot`), and with --loop refined for each molecule, too, for each
functional of --level (`densnet run --level`). A run that was interrupted goes on, one that is done is not repeated (its folder in OUT is
named after molecule and settings); --judge runs nothing and reads what is finished; --runs reads finished run folders of any place, told
apart by which atoms are bonded.

Windows are derived from the measured curve alone. Smoothed to lines 30 cm^-1 wide, its regions above --fraction of the maximum are joined
where they are less than --gap apart. One that holds at least --share of the whole integral is a band, unless an end of the curve cuts it.
Its window reaches --margin times the wavenumber farther on both sides, since simulated bands are shifted, but at most to the middle between
it and the next band, or to the end of the curve. Curve and simulation are integrated between the same limits, as they are (not smoothed).

Of each band: centroids, Int nu A / Int A, and integrals, Int A; errors are standard errors over replicas (sampling only). Of each molecule:
mean |difference of centroids|, mean |integral / measured - 1|, and over all that curve and simulation share the spectral information
similarity and Pearson's r (`densnet.spectra.comparison`). Of the bands with VPT2: mean differences of centroids with classical nuclei and
with VPT2, side by side. Where the simulation has less than a tenth of a band's intensity it has no band there: its centroid is not
compared, and the integral counts. VPT2 and harmonic centroids are of the lines of the model within a window.
Minutes are those of all stages of a run, labels the reference calculations in it. What is left out is listed with the reason.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import torch
from experiment import LABELS, Table, conclude, machine_line, parser
from quant_ir_curves import Case, Windows, cases, plain
from quant_ir_judge import BANDS, MOLECULES, NUCLEI, band_rows, judged, label, means, molecule_row, nuclei_row

from densnet.artefacts import using
from densnet.artefacts.run import Run
from densnet.errors import DensnetError
from densnet.model.compiled import compiler_found
from densnet.model.predictor import load
from densnet.model.shipped import GENERAL, find
from densnet.molecules import SYMBOLS, bonding
from densnet.reference.geometries import Frame, write
from densnet.report.figures import measured_figure
from densnet.report.style import save
from densnet.settings import parse
from densnet.simulation.run import read_trajectory
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.timeseries import SeriesSettings
from densnet.spectra.width import WIDTH, widened
from densnet.workflow import read_run
from densnet.workflow import run as execute
from densnet.workflow.choice import SHORT, toml
from densnet.workflow.ensemble import weighted_spectrum
from densnet.workflow.process import keep_memory


def uncovered(case: Case, model: str, atoms: int) -> str | None:
    """Why a molecule is not run with a model; None if it is."""
    elements, numbers = set(load(find(model)).basis.elements), case.conformers[0].numbers.tolist()
    if unknown := sorted(set(numbers) - elements):
        return f"{model} was not trained on {', '.join(SYMBOLS[z] for z in unknown)}"
    return f"{len(numbers)} atoms, more than --atoms {atoms}" if len(numbers) > atoms else None


def place(case: Case, model: str, chosen: argparse.Namespace, way: str) -> Path:
    """Folder of a run in OUT; ``way``: see `ways`."""
    kind = f"{Path(model).stem}-{way.replace(' at ', '-')}"
    return chosen.out / case.folder / f"{kind}-{chosen.replicas}x{chosen.picoseconds:g}ps-{chosen.temperature:g}K"


def ways(chosen: argparse.Namespace) -> list[str]:
    """How a model is used: as it is, refined, refined at another level."""
    return ["zero-shot", *(f"refined at {level}" if level else "refined" for level in (chosen.level or [""] if chosen.loop else []))]


def plan(case: Case, model: str, chosen: argparse.Namespace, way: str) -> Path:
    """The settings file of a run, beside its folder, with the conformers that it starts from: dynamics as in `densnet run`."""
    folder, (kind, _, level) = place(case, model, chosen, way), way.partition(" at ")
    start, file = (folder.parent / name for name in ("conformers.xyz", f"{folder.name}.toml"))
    nowhere = float("nan")
    write(start, [Frame(molecule, k, nowhere, f"{k}") for k, molecule in enumerate(case.conformers, start=1)], {"name": case.name})
    given = {"start" if kind == "refined" else "model": str(find(model).absolute()), "geometries": str(start.absolute())}
    dynamics = {"replicas": chosen.replicas, "duration_ps": chosen.picoseconds, "thermalise_ps": chosen.thermalise}
    dynamics |= {"temperature": chosen.temperature, "threads": chosen.threads, "compile": chosen.compile and compiler_found()}
    sections = {
        "run": {"name": case.name, "folder": str(folder.absolute()), **given},
        **({"label.scf": {"xc": level}} if level else {}),
        "simulate": SHORT | dynamics,
        "spectrum": {"maximum": 4200.0, "depth": chosen.depth, "experiment": [str(case.path.absolute())]},
    }
    file.write_text(toml(sections), encoding="utf-8")
    return file


def runs(case: Case, chosen: argparse.Namespace, left: dict[str, str]) -> Iterator[Run]:
    """The finished runs of a molecule, made where they are not there; why others are ``left`` out."""
    for model in chosen.model:
        if reason := uncovered(case, model, chosen.atoms):
            left[f"{case.name}, {Path(model).stem}"] = reason
            continue
        for way in ways(chosen):
            folder = place(case, model, chosen, way)
            try:
                if not chosen.judge:
                    execute(plan(case, model, chosen, way), watch=lambda event: print(f"{case.name}: {event}", flush=True))
                if (run := read_run(folder)).spectrum is not None:
                    yield run
                else:
                    left[f"{case.name}, {folder.name}"] = "this run is not finished"
            except DensnetError as error:
                left[f"{case.name}, {folder.name}"] = str(error)
    for run in map(read_run, chosen.runs):
        if run.spectrum is not None and run.model and bonding(run.model.conformers[0].molecule) == bonding(case.conformers[0]):
            yield run


def simulated(run: Run) -> Spectrum:
    """The spectrum of a run with what its replicas contribute, from the trajectory; without one as it was written, which has less of
    the errors."""
    if not using.TRAJECTORY.path(run.folder).exists():
        return run.spectrum
    given = {key: value for key, value in run.settings.get("spectrum", {}).items() if key in SeriesSettings.model_fields}
    trajectory = read_trajectory(using.TRAJECTORY.path(run.folder).parent, motion=False)
    return weighted_spectrum(trajectory, run.model, run.temperature, parse(SeriesSettings, given, "spectrum"))[0]


def picture(case: Case, runs_of: list[tuple[str, Spectrum]], folder: Path) -> None:
    """Curve over simulations, all with lines `WIDTH` wide, as FOLDER/MOLECULE.png."""
    folder.mkdir(parents=True, exist_ok=True)
    wide = [(name, widened(spectrum, WIDTH)) for name, spectrum in runs_of]
    save(measured_figure(widened(case.curve, WIDTH), wide, case.windows, case.name), folder / f"{case.folder}.png")


def arguments() -> argparse.Namespace:
    """Of the command line."""
    made, how = parser(__doc__, "runs/quant-ir"), Windows()
    made.add_argument("--curves", type=Path, required=True, help="folder of measured curves on the molar scale")
    made.add_argument("--model", nargs="*", default=[GENERAL], help="files or names of shipped models; none: only --runs")
    made.add_argument("--list", type=Path, default=LABELS / "organic" / "heldout", help="molecules: stem of a csv and an xyz file")
    made.add_argument("--molecules", nargs="*", help="only these")
    made.add_argument("--atoms", type=int, default=24, help="larger molecules are left out")
    made.add_argument("--loop", action="store_true", help="also refine each model for each molecule (`densnet run --start`)")
    made.add_argument("--level", nargs="*", default=[], help="functionals that --loop refines for; none: that of the model")
    made.add_argument("--judge", action="store_true", help="run nothing, read what is finished")
    made.add_argument("--runs", type=Path, nargs="*", default=[], help="folders of finished runs that are judged, too")
    made.add_argument("--pictures", type=Path, help="folder for one picture a molecule")
    made.add_argument("--replicas", type=int, default=SHORT["replicas"])
    made.add_argument("--picoseconds", type=float, default=SHORT["duration_ps"], help="of each replica")
    made.add_argument("--thermalise", type=float, default=SHORT["thermalise_ps"], help="ps before them")
    made.add_argument("--temperature", type=float, default=296.0, help="K; 296 is that of the NIST curves")
    made.add_argument("--depth", type=float, default=2048.0, help="fs, window on the correlation function")
    made.add_argument("--threads", type=int, default=0, help="of the dynamics; 0 = all cores")
    made.add_argument("--interpreted", dest="compile", action="store_false", help="do not compile the model")
    made.add_argument("--fraction", type=float, default=how.fraction, help="of the maximum, above which the curve has a band")
    made.add_argument("--gap", type=float, default=how.gap, help="cm^-1, nearer regions are one band")
    made.add_argument("--share", type=float, default=how.share, help="of the whole integral, that a band must have")
    made.add_argument("--margin", type=float, default=how.margin, help="share of the wavenumber, by which windows are wider than bands")
    return made.parse_args()


def chosen_cases(chosen: argparse.Namespace) -> tuple[list[Case], dict[str, str]]:
    """As `cases`, of the command line; ends the program in one line where there is nothing to do."""
    if not chosen.curves.is_dir():
        raise SystemExit(f"--curves {chosen.curves} is not a folder; name the one that holds the measured curves.")
    found, left = cases(chosen.curves, chosen.list, Windows(chosen.fraction, chosen.gap, chosen.share, chosen.margin))
    wanted = set(map(plain, chosen.molecules or [case.name for case in found]))
    if missing := wanted - {plain(case.name) for case in found}:
        raise SystemExit(f"--molecules: no curve on the molar scale in {chosen.curves} is of {', '.join(sorted(missing))}.")
    return [case for case in found if plain(case.name) in wanted], left


def main() -> None:
    """Run, judge, draw, print."""
    chosen = arguments()
    keep_memory()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    found, left = chosen_cases(chosen)
    rows, bands, nuclei = [], [], []
    for case in found:
        drawn = []
        for run in runs(case, chosen, left):
            spectrum = simulated(run)
            judgement = judged(case.curve, spectrum, case.windows)
            rows.append(molecule_row(case, run, judgement))
            bands += band_rows(case, run, judgement)
            nuclei += [row for row in [nuclei_row(case, run, judgement)] if row]
            drawn.append((label(run), spectrum))
        if drawn and chosen.pictures:
            picture(case, drawn, chosen.pictures)
    for name, reason in left.items():
        print(f"left out: {name}: {reason}", flush=True)
    if not rows:
        raise SystemExit(f"no curve in {chosen.curves} could be compared with a run.")
    tables = {"molecules": Table(MOLECULES, rows + means(rows)), "bands": Table(BANDS, bands)}
    tables |= {"nuclei": Table(NUCLEI, nuclei + means(nuclei))} if nuclei else {}
    conclude(chosen, "quant_ir", tables | ({"left-out": Table(["left out", "why"], [[*pair] for pair in left.items()])} if left else {}))


if __name__ == "__main__":
    main()
