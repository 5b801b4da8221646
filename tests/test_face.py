"""The public face: `import densnet` gives a few names, lazily, all of them documented."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from unittest.mock import patch

import pytest

import densnet

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", densnet.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    assert getattr(densnet, name).__doc__
    assert name in dir(densnet)


def test_type_checkers_see_the_same_names_from_the_same_places():
    tree = ast.parse(Path(densnet.__file__).read_text(encoding="utf-8"))
    seen = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("densnet"):
            seen |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    assert seen == {name: home if home[1] else tuple(home[0].rsplit(".", 1)) for name, home in densnet._HOMES.items()}
    assert sorted(seen) == sorted(densnet.__all__)


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = densnet.laod
    assert not hasattr(densnet, "__wrapped__")


def test_the_face_imports_nothing_by_itself():
    code = "import sys, densnet; print(sorted({'torch', 'numpy', 'pydantic', 'ase'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_every_name_is_on_the_page_of_the_interface():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^::: (\S+)$", page, re.M))
    assert described == {".".join(filter(None, home)) for home in densnet._HOMES.values()}
    assert set(re.findall(r"^## `densnet\.(\w+)`$", page, re.M)) == set(densnet.__all__)


def test_the_readme_on_the_package_index_has_no_link_into_nowhere():
    spec = importlib.util.spec_from_file_location("build_script", ROOT / "setup.py")
    script = importlib.util.module_from_spec(spec)
    with patch("setuptools.setup") as asked:
        spec.loader.exec_module(script)
    given = asked.call_args.kwargs
    assert given["long_description_content_type"] == "text/markdown" and given["long_description"].startswith("# densnet")
    for text in (given["long_description"], script.readme("https://example.org/densnet")):
        targets = re.findall(r"\]\(([^)]+)\)", text)
        assert all(target.startswith(("https://", "#")) for target in targets), targets
    assert "https://example.org/densnet/blob/main/docs/models.md" in targets


def test_the_oldest_versions_promised_are_those_tested():
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    tested = (ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8").split()

    def version(text: str) -> tuple[str, ...]:
        return tuple(part for part in text.split(".") if part != "0")

    pairs = {line.split(">=")[0]: version(line.split(">=")[1]) for line in promised}
    assert pairs == {line.split("==")[0]: version(line.split("==")[1]) for line in tested}
