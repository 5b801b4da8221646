"""The scripts that make the page answer: plotly.js, 3Dmol.js, our own (`data/page`), and the data of the run. Without them it is static."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from densnet.artefacts.run import Run
from densnet.files import finite
from densnet.report.embedded import embedded

LIBRARIES = ("plotly-basic.min", "3Dmol.min")
"""Third parties, each with its licence beside it."""

OWN = ("quantities", "kinds", "molecule", "spectrum", "panel", "controls")
"""Our scripts, in the order in which they are run."""


def scripts(run: Run) -> str:
    """HTML for the end of the page; nothing where the run has no spectrum."""
    if run.spectrum is None:
        return ""
    data = json.dumps(finite(embedded(run)), allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("</", r"<\/")
    style = f"<style>{_text('live.css')}</style>"
    held = f'<script type="application/json" id="densnet-data">{data}</script>'
    parts = [_text(f"{name}.LICENSE.txt", f"{name}.js") for name in LIBRARIES] + [_text(f"{name}.js") for name in OWN]
    return style + held + "".join(f"<script>{part}</script>" for part in parts)


@cache
def _text(*names: str) -> str:
    """Files of `data/page`; a licence becomes a comment."""
    folder = files("densnet") / "data" / "page"
    texts = [(folder / name).read_text(encoding="utf-8") for name in names]
    return "\n".join(f"/*!\n{text}\n*/" if name.endswith(".txt") else text for name, text in zip(names, texts))
