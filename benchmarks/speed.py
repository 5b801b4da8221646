"""How fast densnet is, next to others, in one run on one machine: the tables of docs/speed.md.

    python benchmarks/speed.py [--model ethanol] [--calls 60] [--only densnet nequip mace painn gfn2 dft] [--out runs/speed]

Energy and forces (densnet also density and dipole, GFN2-xTB and DFT also the dipole) of ethanol, resorcinol and a thiophene chain of 86
atoms, of 64 replicas of ethanol, and training. One thread, medians of CPU time of `--calls` calls (DFT: `--dft-calls`, resorcinol once).
densnet has the sizes of `--model` with untrained weights and finds its neighbours itself, compiled (AOTInductor) and not; networks of
others get theirs prepared. They are installed into environments of their own (runs/peers); one that cannot be is a line that says so.
Results are added to OUT.json as they come; what is there for the same model is not measured again unless `--again`. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess

os.environ["OMP_NUM_THREADS"] = "1"

from dataclasses import asdict
from functools import partial
from importlib.metadata import version

import ase
import ase.io
import torch
from chains import copies, known, untrained
from experiment import Table, machine, parser, record, write
from measuring import apart, milliseconds
from peer_environments import HERE, program, run
from training_speed import START, measured

from densnet import __version__, units
from densnet.molecules import Molecules
from densnet.reference.oligomers import thiophenes
from densnet.simulation.run import SimulateSettings
from densnet.workflow.forces import force_function
from densnet.workflow.process import keep_memory

NETWORKS = {
    "nequip-S": ("nequip", "NequIP, preset S"),
    "nequip-l1": ("nequip", "NequIP, l = 1, 32 features, 4 layers"),
    "mace-64x0e": ("mace", "MACE 64x0e"),
    "mace-128x0e+128x1o": ("mace", "MACE 128x0e+128x1o"),
    "painn-128": ("schnetpack", "PaiNN 128, 3 layers"),
}
"""Name in peers_speed.py: environment, name in the table."""
GROUPS = {"densnet": "densnet", "nequip": "nequip", "mace": "mace", "painn": "schnetpack", "gfn2": "gfn2", "dft": "dft"}
REPLICAS = 64
MOLECULES = ("ethanol", "resorcinol", "thiophenes")


def molecule(name: str) -> Molecules:
    """One of `MOLECULES`."""
    return thiophenes(12) if name == "thiophenes" else known(name)


# ---------------------------------------------------------------------------------------------------------------------------- ours


def ours(name: str, replicas: int, like: str, calls: int, compiled: bool) -> tuple[float, int]:
    """ms a call for all replicas, as dynamics makes it, and the parameters of the model."""
    keep_memory()
    torch.set_num_threads(1)
    start = molecule(name)
    predictor = untrained(start, like)
    settings = SimulateSettings(replicas=replicas, threads=1, compile=compiled)
    forces = force_function(predictor, start, settings, partial(print, flush=True))
    batch = copies(start, replicas)
    return milliseconds(lambda: forces(batch), calls), sum(p.numel() for p in predictor.parameters())


def densnet(chosen: argparse.Namespace, compiled: bool) -> dict:
    """Every molecule in a process of its own."""
    jobs = [(name, 1, chosen.model, chosen.calls, compiled) for name in MOLECULES]
    *single, (batch, _) = apart(ours, [*jobs, ("ethanol", REPLICAS, chosen.model, max(10, chosen.calls // 2), compiled)])
    label = f"densnet, sizes of `{chosen.model}`{', compiled' if compiled else ''}"
    found = {"label": label, "version": f"densnet {__version__}", "parameters": single[0][1]}
    return found | {"ms": [ms for ms, _ in single], "replicas_ms": batch / REPLICAS}


def training(chosen: argparse.Namespace) -> dict:
    """Frames a second of every phase."""
    found = measured(chosen.model, START, 64, 60, chosen.out / "examples")
    return {name: asdict(speed) for name, speed in found.items()}


# -------------------------------------------------------------------------------------------------------------------------- others


def network(name: str, chosen: argparse.Namespace) -> dict:
    """What peers_speed.py says in the peer's environment; or why it cannot."""
    environment, label = NETWORKS[name]
    log = chosen.out / f"{name}.log"
    files = [chosen.out / f"{m}.xyz" for m in MOLECULES]
    try:
        python = program(environment, "python")
    except (subprocess.CalledProcessError, OSError) as error:
        return {"label": label, "problem": f"not installable here: {error}"}
    ran = run([python, HERE / "peers_speed.py", name, chosen.calls, chosen.out, *files], log, 1)
    last = log.read_text().splitlines()[-1]
    if ran.status or "{" not in last:
        return {"label": label, "problem": f"does not run here (status {ran.status}): {last[9:160]}"}
    return {"label": label, **json.loads(last[last.index("{") :])}


def gfn2(chosen: argparse.Namespace) -> dict:
    """GFN2-xTB by tblite: energy, gradient and dipole, no start from the calculation before."""
    from tblite.interface import Calculator

    found = []
    for name in MOLECULES:
        target = molecule(name)
        calculator = Calculator("GFN2-xTB", target.numbers.numpy(), target.positions.numpy())
        calculator.set("verbosity", 0)
        found.append(milliseconds(lambda work=calculator: work.singlepoint().get("gradient"), chosen.calls))
    return {"label": "GFN2-xTB", "version": f"tblite {version('tblite')}", "ms": found}


def dft(chosen: argparse.Namespace) -> dict:
    """The level of the labels."""
    from densnet.reference.scf import ScfSettings, calculate

    found = []
    for name, calls in (("ethanol", chosen.dft_calls), ("resorcinol", 1)):
        found.append(milliseconds(lambda n=name: calculate(known(n), ScfSettings()), calls, warm_up=0))
    return {"label": "PBE/aug-cc-pVDZ, all labels' settings", "version": f"pyscf {version('pyscf')}", "ms": [*found, None]}


# -------------------------------------------------------------------------------------------------------------------------- tables


def tables(found: dict) -> dict[str, Table]:
    """As far as they have been measured."""
    rows = []
    for result in found["programs"].values():
        if "problem" in result:
            continue
        size = result["parameters"] / 1000 if "parameters" in result else None
        head = [result["label"], size and round(size)]
        rate = result.get("training_frames_per_s")
        rows.append([*head, *result["ms"], result.get("replicas_ms"), rate])
        if "compiled_ms" in result:
            rows.append([f"{result['label']}, compiled", head[1], *result["compiled_ms"], None, None])
    columns = ["program", "parameters, thousands", "ethanol, ms", "resorcinol, ms", "chain of 86 atoms, ms"]
    made = {"programs": Table([*columns, f"{REPLICAS} ethanol, ms each", "training, frames/s"], rows)}
    if phases := found.get("training"):
        fields = ("parameters", "batch", "frames_per_s", "start_ms", "peak_mb", "frame_mb")
        head = ["phase", "parameters", "frames a step", "frames/s", "start, ms a frame", "memory, MB", "MB a frame"]
        made["training"] = Table(head, [[name, *(speed[f] for f in fields)] for name, speed in phases.items()])
    return made


def report(found: dict) -> str:
    """Machine and versions, the tables, and what could not be measured."""
    problems = [f"- {result['label']}: {result['problem']}" for result in found["programs"].values() if "problem" in result]
    text = "\n\n".join(table.markdown() for table in tables(found).values())
    versions = sorted({result["version"] for result in found["programs"].values() if "version" in result})
    about = f"{found['machine']['hardware']}, one thread, load {found['load'][0]} to {found['load'][1]}; {found['calls']} calls; "
    return "\n".join([about + ", ".join([*versions, f"torch {found['machine']['torch']}"]), "", text, "", *problems])


def jobs_of(chosen: argparse.Namespace) -> dict:
    """What is asked for, by name."""
    wanted = {GROUPS[name] for name in chosen.only}
    found = {"densnet": partial(densnet, chosen, False)} if "densnet" in wanted else {}
    if "densnet" in wanted and not chosen.no_compile:
        found["densnet-compiled"] = partial(densnet, chosen, True)
    found |= {name: partial(network, name, chosen) for name, (environment, _) in NETWORKS.items() if environment in wanted}
    return found | {name: partial(work, chosen) for name, work in (("gfn2", gfn2), ("dft", dft)) if name in wanted}


def main() -> None:
    """Measure, keep, print."""
    options = parser(__doc__, "runs/speed")
    options.add_argument("--model", default="ethanol", help="model file or shipped name whose sizes densnet has")
    options.add_argument("--calls", type=int, default=60)
    options.add_argument("--dft-calls", type=int, default=3)
    options.add_argument("--only", nargs="+", choices=tuple(GROUPS), default=list(GROUPS))
    options.add_argument("--no-compile", action="store_true", help="without densnet's compiled models")
    options.add_argument("--no-training", action="store_true", help="without densnet's training")
    options.add_argument("--again", action="store_true", help="measure also what is in OUT.json")
    chosen = options.parse_args()
    chosen.out = chosen.out.resolve()
    chosen.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in MOLECULES:
        m = molecule(name)
        ase.io.write(chosen.out / f"{name}.xyz", ase.Atoms(m.numbers.numpy(), m.positions.numpy() / units.ANGSTROM))
    file = chosen.out.with_suffix(".json")
    fresh = {"model": chosen.model, "calls": chosen.calls, "machine": machine(), "load": [99.0, 0.0], "programs": {}, "training": None}
    found = json.loads(file.read_text()) if file.exists() and not chosen.again else fresh
    if (found["model"], found["calls"]) != (chosen.model, chosen.calls):
        found = fresh
    jobs = {name: job for name, job in jobs_of(chosen).items() if name not in found["programs"]}
    if not chosen.no_training and "densnet" in chosen.only and not found["training"]:
        jobs["training"] = partial(training, chosen)
    for name, job in jobs.items():
        print(f"{name} ...", flush=True)
        result, load = job(), os.getloadavg()[0]
        found["load"] = [round(min(found["load"][0], load), 1), round(max(found["load"][1], load), 1)]
        found |= {"training": result} if name == "training" else {"programs": found["programs"] | {name: result}}
        write(file, found)
    print(report(found))
    if chosen.record:
        record("speed", tables(found), vars(chosen) | {"load": found["load"]})


if __name__ == "__main__":
    main()
