"""`densnet doctor`: what this machine has, what will be used of it, what is missing."""

from __future__ import annotations

import typer

from densnet.cli.console import JsonFile


def doctor(json: JsonFile = None) -> None:
    """Look at this machine and this installation: what is there, what will be used, what is missing.

    Versions, cores, memory, compiler, GPU, folders, and whether the shipped models compute what they should.
    Lines that begin with ! name what densnet cannot work with, and the remedy; the exit code is 1 if there is any.
    """
    from dataclasses import asdict

    from rich.table import Table

    from densnet.cli.console import show
    from densnet.workflow.doctor import examine

    findings = examine()
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(" " if finding.fine else "!", finding.subject, finding.found, finding.meaning)
    show([asdict(finding) for finding in findings], json, table)
    if not all(finding.fine for finding in findings):
        raise typer.Exit(1)
