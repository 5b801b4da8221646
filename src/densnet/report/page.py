"""One self-contained HTML page that opens offline: inline style, inline figures, light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from densnet.markup import escape, is_number, number

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --panel: #f6f7f9; --ink: #1b1f24; --soft: #59636e; --rule: #d5dae0;
  --blue: #0b6fb8; --red: #d1510f; --green: #0f8a63; --violet: #a9527f; --orange: #b9800a; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #14171b; --panel: #1d2126; --ink: #e6e9ec; --soft: #9aa4ae;
  --rule: #3a4149; --blue: #56aef0; --red: #f58a4b; --green: #3cc598; --violet: #dd8fb8; --orange: #e3b041; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
p { margin: .5rem 0; } .lead { color: var(--soft); font-size: 1.05rem; margin-bottom: 1.4rem; }
figure { margin: 1rem 0; } figure svg { display: block; width: 100%; height: auto; }
figcaption, .note { color: var(--soft); font-size: .88rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; border-bottom: 1px solid var(--rule); padding: .35rem .7rem .35rem 0; vertical-align: top; }
th { font-weight: 600; color: var(--soft); border-bottom-width: 1.5px; vertical-align: bottom; }
td.number, th.number { text-align: right; } td.number { white-space: nowrap; }
table.plain { width: auto; min-width: 60%; } table.plain th.number, table.plain td.number { padding-left: 1.2rem; max-width: 9rem; }
table.plain td:first-child, table.close td:first-child { white-space: nowrap; }
table.close { font-size: .82rem; } table.close th, table.close td { padding-right: .5rem; }
.met { color: var(--green); font-weight: 600; white-space: nowrap; } .missed { color: var(--red); font-weight: 600; white-space: nowrap; }
.unknown { color: var(--soft); white-space: nowrap; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.warning { border-left: 3px solid var(--red); padding: .1rem 0 .1rem .8rem; }
details { margin: .6rem 0; background: var(--panel); border-radius: .6rem; padding: .7rem 1rem; }
details[open] summary { margin-bottom: .6rem; } summary { cursor: pointer; color: var(--blue); }
pre { margin: 0; overflow-x: auto; font-size: .8rem; line-height: 1.45; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; border-top: 1px solid var(--rule); padding-top: .8rem; }
@media print { h2 { break-after: avoid; } figure, tr { break-inside: avoid; } details::details-content { content-visibility: visible; }
  main { padding: 0; } .scroll { overflow: visible; } table, table.close { font-size: .68rem; } th, td { padding-right: .3rem; }
  table.plain th.number, table.plain td.number { padding-left: .3rem; } }
figure svg text { font-family: "DejaVu Sans", Verdana, sans-serif !important; }
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"

Columns = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Titles and rows of a `table`."""


@dataclass(frozen=True)
class Promise:
    """A figure of merit with its target: ``value`` and ``target`` in ``unit``; met if value <= target, or >= with ``least``.

    NaN or None: not measured. ``dynamics``: it is about the dynamics of the run, else about the model.
    """

    name: str
    value: float | None
    target: float
    unit: str
    note: str = ""
    least: bool = False
    dynamics: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        if self.value is None or math.isnan(self.value):
            return None
        return bool(self.value >= self.target if self.least else self.value <= self.target)


def formula(text: str) -> str:
    """A chemical formula, C2H6O, with its numbers as subscripts."""
    return text.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def powers(text: str) -> str:
    """Plain text with ``cm^-1`` and ``cos^2`` as they are printed."""
    return text.replace("^-1", "⁻¹").replace("^2", "²")


def pm(value: float, error: float | None) -> str:
    """A value with its error, where that is known, one decimal each."""
    return f"{value:.1f}" if error is None else f"{value:.1f} ± {error:.1f}"


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], *, wide: bool = False, keys: Sequence[str] | None = None) -> str:
    """An HTML table; numbers stand right-aligned, HTML in cells is escaped. ``wide``: many columns, set closer.

    ``keys`` name what each row is about, for the scripts of the page.
    """
    rows = [list(row) for row in rows]
    numeric = [all(isinstance(row[k], int | float | None) or is_number(row[k]) for row in rows) for k in range(len(titles))]
    styles = [' class="number"' if right else "" for right in numeric]
    head = "".join(_cell("th", _unbroken(title), style) for title, style in zip(titles, styles))
    starts = ["<tr>"] * len(rows) if keys is None else [f'<tr data-key="{escape(key)}">' for key in keys]
    lines = ("".join(_cell("td", value, style) for value, style in zip(row, styles)) for row in rows)
    body = "".join(f"{start}{line}</tr>" for start, line in zip(starts, lines))
    kind = "close" if wide else "plain"
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _unbroken(title: str) -> str:
    """A title that breaks before its unit or minus sign, not after it."""
    name, slash, unit = title.replace("− ", "−\u00a0").rpartition(" / ")
    return f"{name} /\u00a0{unit.replace(' ', chr(0xA0))}" if slash else unit


def _cell(tag: str, value: object, style: str) -> str:
    return f"<{tag}{style}>{escape(number(value))}</{tag}>"


def promises(lines: Sequence[Promise]) -> str:
    """Each promised line with value, target and whether it is met, as a table."""
    words = {True: ("met", "✓ met"), False: ("missed", "✗ missed"), None: ("unknown", "not measured")}
    rows = []
    for line in lines:
        style, word = words[line.met]
        value = f"{number(line.value)} {line.unit}" if line.met is not None else "–"
        note = f'<div class="note">{escape(line.note)}</div>' if line.note else ""
        target = f"{'≥' if line.least else '≤'} {number(line.target)} {line.unit}"
        cells = f'<td>{escape(line.name)}{note}</td><td class="number">{escape(value)}</td><td class="number">{escape(target)}</td>'
        rows.append(f'<tr>{cells}<td class="{style}">{word}</td></tr>')
    head = '<tr><th>check</th><th class="number">this run</th><th class="number">target</th><th></th></tr>'
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def figure(svg: str, caption: str, name: str = "") -> str:
    """An inline figure with its caption (plain text). ``name``: its id, for the scripts of the page."""
    named = f' id="{escape(name)}"' if name else ""
    return f"<figure{named}>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def folded(title: str, text: str) -> str:
    """Long plain text (settings, logs) behind a fold."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def unfolded(title: str, content: str) -> str:
    """HTML made by the functions here, behind one line that opens it."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def warning(text: str) -> str:
    """Something that went otherwise than it should."""
    return f'<p class="warning">{escape(text)}</p>'


def section(title: str, *parts: str) -> str:
    """A heading and what stands under it (HTML made by the functions above)."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def page(title: str, lead: str, parts: Sequence[str], footer: str, scripts: str = "") -> str:
    """The whole document; ``parts`` and ``scripts`` are HTML made by the functions above and in `live`, everything else plain text.

    Its policy forbids every connection: whatever a script holds, the page fetches nothing and sends nothing.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{"".join(parts)}'
        f"<footer>{escape(footer)}</footer></main>{scripts}</body></html>\n"
    )
