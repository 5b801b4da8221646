"""How every figure looks: colour-blind safe hues, thin axes, and inks that follow the page's light or dark theme."""

from __future__ import annotations

import io
import re
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from densnet.files import sha256

INK, FAINT = "#1b1f24", "#d5dae0"
BLUE, RED, GREEN, VIOLET, ORANGE = "#0b6fb8", "#d1510f", "#0f8a63", "#a9527f", "#b9800a"
"""After Okabe and Ito (2008), darkened to be readable as thin lines on white."""

DYNAMICS, REFERENCE, MODEL, MEASURED = BLUE, RED, GREEN, INK
"""One colour a role, in every figure: spectrum of the dynamics, harmonic lines of the reference level, of the model, experiment."""

THEMED = {INK: "ink", FAINT: "rule", BLUE: "blue", RED: "red", GREEN: "green", VIOLET: "violet", ORANGE: "orange"}
"""Each colour of the figures -> the variable of the page that it follows."""

_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.3,
    "figure.facecolor": "none",
    "figure.dpi": 100,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "densnet",
}


styled = rc_context(_RC)
"""Decorates a function that draws: the settings above hold while it runs, and nowhere else."""


def panels(columns: int = 1, width: float = 7.6, height: float = 3.0, ratios: list[float] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of ``width`` x ``height`` inches and its ``columns`` axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False, width_ratios=ratios)[0])


def legend_above(axes: Axes, columns: int = 4) -> None:
    """The legend above the upper right corner, where it covers no data."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, ncols=columns)


@styled
def svg(figure: Figure) -> str:
    """The figure as an <svg> element whose colours are CSS variables of the page (--ink, --blue, ...)."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" ', r"<svg \1", re.sub(r'(<svg [^>]*?)height="[^"]*" ', r"\1", text, count=1), count=1)
    for colour, name in THEMED.items():
        text = text.replace(colour, f"var(--{name})")
    return _unique_ids(_short_paths(text), f"f{_short_hash(text)}")


def _short_paths(text: str) -> str:
    """Coordinates of paths to a hundredth of a point: half the size, and nothing to be seen."""
    return re.sub(r' d="[^"]*"', lambda found: re.sub(r"\d+\.\d{3,}", lambda x: f"{float(x[0]):.2f}", found[0]), text)


def _short_hash(text: str) -> str:
    """A short, reproducible name for ``text``."""
    return sha256(text)[:8]


def _unique_ids(text: str, prefix: str) -> str:
    """Several figures share one page, so their ids and references get a ``prefix`` of their own."""
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    return re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\1{prefix}-", text)


@styled
def save(figure: Figure, path: Path) -> None:
    """Writes the figure on white, in the format that the ending names (png, svg, pdf)."""
    figure.savefig(path, dpi=200, facecolor="white")
