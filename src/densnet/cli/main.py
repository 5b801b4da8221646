"""The `densnet` command: one verb per stage, and the one place where an error becomes a sentence."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import Annotated

import typer

from densnet import __version__
from densnet.cli.benchmark import benchmark
from densnet.cli.density import density
from densnet.cli.doctor import doctor
from densnet.cli.drive import drive
from densnet.cli.evaluate import evaluate
from densnet.cli.export import export
from densnet.cli.label import label
from densnet.cli.models import models
from densnet.cli.report import report
from densnet.cli.run import run
from densnet.cli.sample import sample
from densnet.cli.simulate import simulate
from densnet.cli.spectrum import spectrum
from densnet.cli.train import train
from densnet.cli.verify import verify
from densnet.errors import DensnetError
from densnet.model.shipped import of_molecules
from densnet.workflow import process

VERBS = (sample, label, train, evaluate, density, simulate, export, spectrum, verify, report, run, benchmark, drive, models, doctor)
"""In the order of the work. Their modules import torch or PySCF only when the verb is called."""

INTRODUCTION = f"""Infrared and Raman spectra from machine-learned electron densities.

[bold]densnet run ethanol[/] computes the spectrum of a shipped molecule ({", ".join(of_molecules())}) in minutes.

[bold]densnet run examples/water.toml[/] runs the complete workflow: geometries, DFT labels, training, dynamics, spectrum, report.

Each step is also available as a separate command, listed below in the order of the workflow; see COMMAND --help.
Lengths are in Angstrom, energies in eV, temperatures in K, times in fs or ps, and wavenumbers in cm^-1 unless stated otherwise.
"""


def _print_version(value: bool | None) -> None:
    if value:
        typer.echo(f"densnet {__version__}")
        raise typer.Exit()


Version = Annotated[bool | None, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")]


def _introduce(*, version: Version = None):
    return version


def build() -> typer.Typer:
    """The command-line application with every verb registered."""
    application = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
    application.callback(help=INTRODUCTION)(_introduce)
    for verb in VERBS:
        application.command(verb.__name__)(verb)
    return application


def explain(error: Exception) -> str:
    """One line for the user: what went wrong, with the file it concerns."""
    if isinstance(error, OSError) and error.filename is not None:
        if isinstance(error, PermissionError):
            return f"no permission to use {error.filename}; choose another folder or change its permissions."
        return f"{error.filename}: {error.strerror or error.args[0]}."
    return " ".join(str(error).split())


def _terminate(signal_number, frame):
    raise KeyboardInterrupt


def _insist(unraisable: sys.UnraisableHookArgs) -> None:
    """Ctrl-C in a destructor or a weak reference's callback is swallowed by Python: it is sent again, a moment later."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


def _is_interruption(end: BaseException) -> bool:
    """Ctrl-C, an exit that says so, or Ctrl-C while ctypes converts an argument, of which Python makes an error of ctypes."""
    if isinstance(end, ctypes.ArgumentError):
        return "KeyboardInterrupt" in str(end)
    return isinstance(end, KeyboardInterrupt) or (isinstance(end, SystemExit) and end.code == 130)


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 an explained error, 2 wrong usage, 130 interrupted.

    With DENSNET_DEBUG=1 in the environment an error keeps its traceback.
    """
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _insist
    process.keep_memory()
    try:
        build()()
    except (DensnetError, OSError) as error:
        if os.environ.get("DENSNET_DEBUG"):
            raise
        which = f" in process {process.number()}" if process.number() else ""
        typer.echo(f"error{which}: {explain(error)}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit, ctypes.ArgumentError) as end:
        if not _is_interruption(end):
            raise
        if process.number() == 0:
            typer.echo("interrupted; run the same command again to continue.", err=True)
        sys.exit(130)
