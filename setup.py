"""The README as the package index shows it; everything else is in pyproject.toml."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent


def readme(repository: str = "") -> str:
    """README.md with absolute links into ``repository``; without one, links into the repository become plain text and pictures go."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    picture, link = r"!\[([^]]*)\]\((?!https?:)([^)#][^)]*)\)", r"(?<!!)\[([^]]*)\]\((?!https?:)([^)#][^)]*)\)"
    if not repository:
        return re.sub(link, r"\1", re.sub(picture + r"\n*", "", text))
    return re.sub(link, rf"[\1]({repository}/blob/main/\2)", re.sub(picture, rf"![\1]({repository}/raw/main/\2)", text))


def repository() -> str:
    """Address of the repository in pyproject.toml, if it says one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").rstrip("/")


setup(long_description=readme(repository()), long_description_content_type="text/markdown")
