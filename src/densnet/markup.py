"""Pieces of HTML of their own, as values show themselves in a notebook: no style sheet, no script, no drawing library, any background."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_CELL = "padding:.15em .9em .15em 0;border:0;background:none"
_NUMBER = re.compile(r"[+−-]?[0-9.]+( ± [0-9.]+)?( \([a-z]+\))?")

WIDTH, HEIGHT, MARGIN = 560, 170, 28
"""Of a curve, in pixels; the margin below holds its axis."""

BINS = 250
"""A curve is drawn through the lowest and the highest of its points in so many pieces of its axis."""


def escape(text: object) -> str:
    """Text made safe for HTML."""
    return html.escape(str(text))


def number(value: object) -> str:
    """Three significant digits at least, no needless zeros; text stays text, None becomes a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}".replace("-", "−")
    text = str(value)
    return text.replace("-", "−") if is_number(text) else text


def is_number(text: str) -> bool:
    """Whether a cell is a number, maybe with an error behind it."""
    return _NUMBER.fullmatch(text) is not None


def shown(title: str, *parts: str) -> str:
    """``parts`` (HTML) under a title."""
    return f'<div style="font-size:.92em"><div style="font-weight:600;margin-bottom:.2em">{escape(title)}</div>{"".join(parts)}</div>'


def folded(title: str, content: str) -> str:
    """``content`` (HTML) behind one line that opens it."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def facts(about: Iterable[tuple[str, object]]) -> str:
    """Names and values, one pair a line; those without a value are left out."""
    return _table([_row([name, number(value)], "td", [False, False]) for name, value in about if value is not None])


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under titles; columns of numbers stand to the right."""
    cells = [[number(value) for value in row] for row in rows]
    right = [all(is_number(row[k]) for row in cells) for k in range(len(titles))]
    return _table([_row(titles, "th", right), *(_row(row, "td", right) for row in cells)])


def _table(rows: Sequence[str]) -> str:
    return f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums;margin:0">{"".join(rows)}</table>'


def _row(cells: Sequence[str], tag: str, right: Sequence[bool]) -> str:
    sides = ["right" if own else "left" for own in right]
    parts = (f'<{tag} style="{_CELL};text-align:{side}">{escape(cell)}</{tag}>' for cell, side in zip(cells, sides))
    return f"<tr>{''.join(parts)}</tr>"


def curve(x: NDArray, y: NDArray, error: NDArray | None = None, *, unit: str, falling: bool = True) -> str:
    """``y`` over ``x`` (ascending) as a line in an <svg>, with the band ``error`` around it; the axis falls to the right as of spectra."""
    places = _extremes(y)
    x, y, error = x[places], y[places], None if error is None else error[places]
    low, high = min(0.0, float((y if error is None else y - error).min())), float((y if error is None else y + error).max())
    across = (x - x[0]) / (x[-1] - x[0]) * WIDTH
    across = WIDTH - across if falling else across

    def height(values: NDArray) -> NDArray:
        return HEIGHT - (values - low) / ((high - low) or 1.0) * (HEIGHT - 14)

    band = ""
    if error is not None:
        edge = _points(np.concatenate([across, across[::-1]]), height(np.concatenate([y - error, (y + error)[::-1]])))
        band = f'<polygon points="{edge}" fill="#0b6fb8" fill-opacity=".25"/>'
    line = f'<polyline points="{_points(across, height(y))}" fill="none" stroke="#0b6fb8" stroke-width="1.2"/>'
    axis = f'<path d="M0 {HEIGHT}H{WIDTH}" stroke="currentColor" stroke-width=".7"/>'
    ticks = "".join(_tick(value, float(np.interp(value, x, across))) for value in _round_values(float(x[0]), float(x[-1])))
    label = f'<text x="0" y="10">{escape(number(high))} {escape(unit)}</text>'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT + MARGIN}" width="{WIDTH}" height="{HEIGHT + MARGIN}"'
    style = 'style="font:11px sans-serif;max-width:100%;overflow:visible" fill="currentColor"'
    return f"<svg {size} {style}>{band}{line}{axis}{ticks}{label}</svg>"


def _extremes(values: NDArray) -> NDArray:
    """Indices of the lowest and the highest value in each of `BINS` pieces, and of both ends."""
    if len(values) <= 2 * BINS:
        return np.arange(len(values))
    pieces = np.array_split(np.arange(len(values)), BINS)
    found = [piece[place] for piece in pieces for place in (values[piece].argmin(), values[piece].argmax())]
    return np.unique([0, *found, len(values) - 1])


def _points(x: NDArray, y: NDArray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist()))


def _tick(value: float, place: float) -> str:
    line = f'<path d="M{place:.1f} {HEIGHT}v4" stroke="currentColor" stroke-width=".7"/>'
    return f'{line}<text x="{place:.1f}" y="{HEIGHT + 17}" text-anchor="middle">{value:g}</text>'


def _round_values(first: float, last: float) -> NDArray:
    """Multiples of 1, 2 or 5 times a power of ten between the ends, four to ten of them."""
    rough = (last - first) / 8
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return np.arange(np.ceil(first / step), np.floor(last / step) + 1) * step
