"""The scripts of a page, run under node or in a browser."""

import json
import re
import shutil
import subprocess
from importlib.resources import files

import pytest

FOLDER = files("densnet") / "data" / "page"


def held(text: str) -> dict:
    """The data embedded in a page."""
    return json.loads(re.search(r'id="densnet-data">(.*?)</script>', text, re.S)[1])


def computed(expression: str, **given: object) -> object:
    """What ``expression`` gives in JavaScript, after `quantities.js` and `kinds.js`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node, which runs the scripts of the page outside a browser, is not installed")
    script = "".join((FOLDER / f"{name}.js").read_text() for name in ("quantities", "kinds")) + f"\nconst given = {json.dumps(given)};\n"
    script += f"console.log(JSON.stringify((() => {{ try {{ return {expression}; }} catch (e) {{ return e.message; }} }})()));"
    return json.loads(subprocess.run([node, "-"], input=script, text=True, capture_output=True, check=True).stdout)


def opened(browser, path, **options):
    """The page in a window; errors of its scripts and requests for anything outside it are kept in `faults`."""
    window = browser.new_page(reduced_motion="reduce", **options)
    window.set_default_timeout(60_000)
    window.faults = []
    window.on("pageerror", lambda error: window.faults.append(error.message))
    window.on("console", lambda line: window.faults.append(line.text) if "Content Security" in line.text else None)
    window.on("request", lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else window.faults.append(asked.url))
    window.goto(path.as_uri())
    return window


def place(window, wavenumber: float, figure: str = "spectrum") -> float:
    """Where it is on the screen, in the chart of a figure."""
    axis = f"const d = document.querySelector('#{figure} .chart'), a = d._fullLayout.xaxis"
    return window.evaluate(f"x => {{ {axis}; return d.getBoundingClientRect().left + a._offset + a.d2p(x) }}", wavenumber)
