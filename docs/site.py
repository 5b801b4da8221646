"""For mkdocs: pages of the repository's root inside the site, file names in the text as links, columns of docstrings as they stand."""

import re
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
FROM_ROOT = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Page of the site -> file whose text it shows."""


def linked(text: str) -> str:
    """``docs/page.md`` in running text as a link to that page; code blocks stay as they are."""
    blocks = re.split(r"(^```.*?^```$|^    .*$)", text, flags=re.M | re.S)
    name = re.compile(r"(?<![\[`/\w])(?<!\]\()docs/([\w-]+)\.md")
    return "".join(block if number % 2 else name.sub(r"[docs/\1.md](\1.md)", block) for number, block in enumerate(blocks))


def on_page_markdown(markdown: str, page, **_) -> str:
    """What mkdocs shows as this page."""
    if source := FROM_ROOT.get(page.file.src_uri):
        markdown = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
    return linked(markdown)


class Columns(griffe.Extension):
    """Paragraphs of a docstring that are a table of names and meanings (two or more spaces between) keep their lines."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Indent such paragraphs, which makes code blocks of them."""
        if obj.docstring is not None:
            table = re.compile(r"^\S.*\S {2,}\S", re.M)
            parts = obj.docstring.value.split("\n\n")
            kept = [re.sub("^", "    ", part, flags=re.M) if table.search(part) and not part.startswith(" ") else part for part in parts]
            obj.docstring.value = "\n\n".join(kept)
