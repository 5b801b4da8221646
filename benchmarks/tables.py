"""The tables of the documentation, from benchmarks/results: python benchmarks/tables.py [--check]

A table stands between `<!-- table NAME.TABLE -->`, the table TABLE of benchmarks/results/NAME.json, and `<!-- end of table -->`. `--check`
writes nothing and fails if a page differs from the results.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from experiment import RESULTS, ROOT, Table, read

PLACE = re.compile(r"(<!-- table (\w+)\.([\w-]+) -->\n)(.*?)(<!-- end of table -->)", re.S)
"""Opening mark, file, table, what stands there, closing mark."""


def shown(name: str, table: str) -> str:
    """A recorded table as Markdown."""
    found = read(name)[table]
    return Table(found["columns"], found["rows"]).markdown()


def renewed(page: str, show: Callable[[str, str], str] = shown) -> str:
    """The text of a page with its tables as recorded."""
    return PLACE.sub(lambda found: f"{found[1]}{show(found[2], found[3])}\n{found[5]}", page)


def pages() -> list[Path]:
    """Of the documentation."""
    return sorted((ROOT / "docs").glob("*.md"))


def unused() -> set[str]:
    """Recorded tables that no page shows, as NAME.TABLE."""
    shows = {f"{name}.{table}" for page in pages() for _, name, table, _, _ in PLACE.findall(page.read_text(encoding="utf-8"))}
    return {f"{path.stem}.{table}" for path in RESULTS.glob("*.json") for table in read(path.stem)} - shows


def main() -> None:
    """Write or compare."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := renewed(text)) != text:
            if "--check" in sys.argv[1:]:
                sys.exit(f"{page} does not show what benchmarks/results holds; run python benchmarks/tables.py")
            page.write_text(new, encoding="utf-8")
            print(f"renewed: {page}")


if __name__ == "__main__":
    main()
