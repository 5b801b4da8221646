"""The page that answers: what is embedded in it, its arithmetic (under node) and its gestures (in a browser), where these are at hand."""

import json
import re
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest

from densnet.artefacts.run import Run
from densnet.report.content import report
from densnet.report.embedded import embedded, units_of
from densnet.report.live import OWN
from densnet.spectra.gas import absorbance, molar
from densnet.spectra.infrared import from_modes
from densnet.spectra.jcamp import write_jcamp
from densnet.spectra.measured import read_measured
from densnet.spectra.quantities import ordinate
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum, mixture
from densnet.spectra.sticks import band_rows, sticks_of
from densnet.spectra.tables import read_csv, write_csv
from tests.report.conftest import ethanol
from tests.report.scripts import FOLDER, computed, held, opened, place

LARGEST = 4_000_000
BANDS = [(960.0, 1120.0), (2700.0, 3120.0)]


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Run:
    """Ethanol with a table of bands, a measured curve whose name is hostile, and settings."""
    run = ethanol(tmp_path_factory.mktemp("ethanol"))
    rows = band_rows(run.spectrum.bands(BANDS), sticks_of(run.model, 300.0))
    name = "</script><b>mine.csv"
    told = {"temperature_K": 300.0, "bands": rows, "experiment": {name: [None, None]}}
    (run.folder / "spectrum" / "bands.json").write_text(json.dumps(told))
    (run.folder / "spectrum" / "comparison.json").write_text(json.dumps({name: ""}))
    write_csv(run.folder / "spectrum" / "experiment-0.csv", replace(run.spectrum, unit="absorbance", error=None))
    (run.folder / "settings.toml").write_text('[run]\nname = "ethanol"\n')
    return Run("ethanol", run.folder, {}, {})


@pytest.fixture(scope="module")
def page(full) -> Path:
    """Its page, as a file."""
    path = full.folder / "report.html"
    path.write_text(report(full), encoding="utf-8")
    return path


def test_the_embedded_data_are_those_of_the_artefacts(full, page):
    data = held(page.read_text())
    curve = data["smoothed"]
    for key in ("axis", "intensity", "error"):
        np.testing.assert_allclose(curve[key], getattr(full.smoothed, key), rtol=1e-6)
    assert curve["unit"] == full.smoothed.unit and curve["header"] == full.smoothed.header
    assert data["settings"] == (full.folder / "settings.toml").read_text() and len(data["bands"]) == 2
    assert data["measured"][0]["name"] == "</script><b>mine.csv" and not data["measured"][0]["absolute"]
    assert [c["weight"] for c in data["conformers"]] == pytest.approx([1 / 3, 2 / 3])
    for told, conformer, part in zip(data["conformers"], full.model.conformers, full.parts):
        np.testing.assert_allclose(told["part"]["intensity"], part.intensity, rtol=1e-6)
        lines = from_modes(conformer.modes)
        np.testing.assert_allclose([m["harmonic"] for m in told["modes"]], lines.frequencies)
        np.testing.assert_allclose([m["strength"] for m in told["modes"]], lines.intensities)
        assert all(max(np.linalg.norm(m["motions"], axis=1)) == pytest.approx(1, abs=1e-4) for m in told["modes"])
        # 1 (D/Angstrom)^2/u is 42.2561 km/mol
        slopes = [42.2561 * np.square(m["slope"]).sum() for m in told["modes"]]
        np.testing.assert_allclose(slopes, lines.intensities, rtol=2e-3, atol=0.02)
        seen = np.subtract(told["positions"], np.mean(told["positions"], axis=0)) @ np.transpose(told["facing"])
        assert np.linalg.det(told["facing"]) == pytest.approx(1, abs=1e-3) and (np.diff(seen.var(axis=0)) < 0).all()
    stretch = next(m for m in data["conformers"][0]["modes"] if m["motion"] == "O-H stretch")
    oxygen = data["conformers"][0]["symbols"].index("O")
    bond = np.subtract(data["conformers"][0]["positions"], data["conformers"][0]["positions"][oxygen])
    hydrogen = int(np.argmax(np.linalg.norm(stretch["motions"], axis=1)))
    along = np.dot(bond[hydrogen], stretch["motions"][hydrogen]) / np.linalg.norm(bond[hydrogen])
    assert data["conformers"][0]["symbols"][hydrogen] == "H" and along > 0.99


def test_rows_of_the_tables_name_their_modes_and_bands(page):
    text = page.read_text().split("<script")[0]
    assert sorted(re.findall(r'data-key="mode-([^"]*)"', text)) == sorted(f"{c}-{m}" for c in (0, 1) for m in range(21))
    assert re.findall(r'data-key="(band-\d)"', text) == ["band-0", "band-1"]


def test_one_file_that_asks_for_nothing(page):
    text = page.read_text()
    assert len(text.encode()) < LARGEST
    assert "default-src 'none'" in text.split("<style>")[0] and "connect-src" not in text
    static = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert static.count("<script") == 0 and re.findall(r"(?:src|href)=\"(?!#)[^\"]*", static) == []
    assert static.count("<svg") == 4 and "wavenumber / cm" in re.sub(r"<[^>]*>", "", static)  # text of figures is text
    own = "".join((FOLDER / f"{name}.js").read_text() for name in OWN)
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|WebSocket|sendBeacon|eval\(", own)
    assert "University of Pittsburgh" in text and "Plotly, Inc" in text


def test_no_scripts_before_there_is_a_spectrum(run):
    for path in (run.folder / "spectrum").glob("*.csv"):
        path.unlink()
    assert "<script" not in report(Run("ethanol", run.folder, {}, {}))


# ------------------------------------------------------------------------------------------------------------ arithmetic, under node


def test_the_page_computes_as_the_package_does(full, tmp_path):
    data = embedded(full)
    curve, sticks = full.smoothed, sticks_of(full.model, 300.0)
    lines = [{"place": x, "strength": y} for x, y in zip(sticks.frequencies.tolist(), sticks.intensities.tolist())]
    cell = {"pressure": 3000.0, "path": 0.25}
    found = computed(
        """((shown) => ({
          broad: quantities.broadened(given.lines, given.curve.axis, 24),
          units: Object.fromEntries(Object.keys(quantities.UNITS).map((u) => [u, shown(u)])),
          mixture: quantities.mixture(given.parts, [3, 1]),
          band: quantities.band(given.curve, 960.3, 1120.7),
          csv: quantities.csv(given.curve, "km/mol per cm^-1", given.curve.header),
          jdx: quantities.jdx(shown("absorbance"), "absorbance", "ethanol", given.labels),
        }))((unit) => quantities.converted(given.curve, unit, given.units, given.cell))""",
        lines=lines, curve=data["smoothed"], units=data["units"], cell=cell, parts=[c["part"] for c in data["conformers"]],
        labels={"DATA TYPE": "INFRARED SPECTRUM", "PARTIAL_PRESSURE": "3000 Pa", "PATH LENGTH": "0.25 m", "TEMPERATURE": "300 K"},
    )  # fmt: skip
    largest = curve.intensity.max()
    np.testing.assert_allclose(found["broad"], sticks.broaden(curve.axis, Gaussian.of_width(24.0)).intensity, atol=1e-9 * largest)
    units, gas = found["units"], absorbance(curve, 3000.0, 0.25, 300.0)
    for unit, words in (("decadic", "L/(mol cm)"), ("cross_section", "cm^2/molecule")):
        np.testing.assert_allclose(ordinate(words).factor * np.array(units[unit]["intensity"]), curve.intensity, rtol=2e-6, atol=1e-12)
    np.testing.assert_allclose(units["absorbance"]["intensity"], gas.intensity, rtol=2e-6)
    np.testing.assert_allclose(units["absorbance"]["error"], gas.error, rtol=2e-6)
    through = 100 * 10.0**-gas.intensity
    np.testing.assert_allclose(units["transmittance"]["intensity"], through, rtol=1e-6, atol=2e-5)
    np.testing.assert_allclose(units["transmittance"]["error"], log(10) * through * gas.error, rtol=1e-5, atol=2e-5)
    mixed = mixture(full.parts, [3.0, 1.0])
    np.testing.assert_allclose(found["mixture"]["intensity"], mixed.intensity, rtol=2e-6)
    np.testing.assert_allclose(found["mixture"]["error"], mixed.error, rtol=2e-6)
    band = curve.band(960.3, 1120.7)
    assert [found["band"][key] for key in ("integral", "centroid", "error")] == pytest.approx([band.integral, band.centroid, band.error])
    for name in ("csv", "jdx"):
        (tmp_path / f"page.{name}").write_text(found[name])
    again = read_csv(tmp_path / "page.csv")
    np.testing.assert_allclose(again.error, curve.error, rtol=1e-6)
    np.testing.assert_allclose(again.intensity, curve.intensity, rtol=1e-6)
    back = molar(read_measured(tmp_path / "page.jdx"))  # from the pressure, path and temperature that it tells
    assert back.unit == ABSOLUTE
    np.testing.assert_allclose(back.intensity, curve.intensity, rtol=1e-6, atol=1e-8)


def test_measured_curves_that_the_page_reads(full, tmp_path):
    axis = np.arange(500.0, 3000.0, 4.0)
    curve = Spectrum(axis, 0.4 * np.exp(-(((axis - 1050) / 40) ** 2)), "absorbance")
    write_jcamp(tmp_path / "a.jdx", curve, "mine")
    write_csv(tmp_path / "a.csv", replace(curve, unit="km/mol per cm^-1"))
    percent = "\n".join(f"{x:.1f}; {100 * 10**-y:.6f}".replace(".", ",") for x, y in zip(axis[::-1], curve.intensity[::-1]))
    texts = {"jdx": (tmp_path / "a.jdx").read_text(), "csv": (tmp_path / "a.csv").read_text(), "german": f"cm-1; %T\n{percent}\n"}
    for name, text in texts.items():
        read = computed("quantities.measured(given.text, given.name, 'infrared')", text=text, name=name)
        np.testing.assert_allclose(read["axis"], axis)
        np.testing.assert_allclose(read["intensity"], curve.intensity, atol=1e-6)
        assert read["absolute"] == (name == "csv")


@pytest.mark.parametrize(
    "text, told",
    [
        ("##TITLE=x\n##XYDATA=(X++(Y..Y))\n450A23B4%J\n##END=", "is compressed"),
        ("##TITLE=x\n##FIRSTX=1\n##LASTX=3\n##NPOINTS=9\n##XYDATA=(X++(Y..Y))\n1 2 3 4\n##END=", "3 points"),
        ("hello\nworld", "no two columns"),
        ("\n".join(f"{x},1" for x in range(50)), "no unit"),
        ("\n".join(f"{x},1" for x in range(5)), "5 points"),
        ("cm-1,Reflectance\n" + "\n".join(f"{x},1" for x in range(500, 900)), "neither an absorption nor a Raman"),
    ],
)
def test_what_the_page_cannot_read_is_told_in_a_sentence(text, told):
    found = computed("quantities.measured(given.text, 'mine', 'infrared')", text=text)
    assert isinstance(found, str) and "mine" in found and told in found and found.endswith((".", ")"))


# --------------------------------------------------------------------------------------------------------------- gestures, in a browser


def test_hover_click_zoom_and_files(full, page, browser, tmp_path):
    window = opened(browser, page, viewport={"width": 1000, "height": 900})
    assert window.locator("figure#spectrum > svg").is_hidden() and window.locator(".chart svg text").count() > 10
    box = window.locator(".plot").bounding_box()
    height, lines = box["y"] + 0.4 * box["height"], box["y"] + 0.8 * box["height"]

    window.mouse.move(place(window, 1045.0), height)
    read = window.locator(".readout").inner_text()
    there = float(re.search(r"([\d.]+) cm⁻¹", read)[1])
    value, error = map(float, window.locator(".readout .value").first.inner_text().split(" ± "))
    assert there == pytest.approx(1045, abs=3) and "C-O stretch" in read and "km/mol" in read
    assert value == pytest.approx(np.interp(there, full.smoothed.axis, full.smoothed.intensity), rel=0.05)
    assert error == pytest.approx(0.1 * value, rel=0.1)

    lit = full.model.conformers[1].modes
    wanted = float(lit.frequencies[(lit.intensities * (lit.frequencies > 2000)).argmax()])
    window.mouse.click(place(window, wanted), lines)
    row = window.locator("tr.lit")
    conformer, mode = map(int, row.get_attribute("data-key").split("-")[1:])
    assert float(full.model.conformers[conformer].modes.frequencies[mode]) == pytest.approx(wanted, abs=40)
    assert window.locator(".stage").is_visible() and "dipole derivative" in window.locator(".stage").inner_text()
    window.locator('tr[data-key="mode-0-20"]').click()
    assert "O-H stretch" in window.locator(".stage h3 + p").inner_text()
    assert window.locator("tr.lit").get_attribute("data-key") == "mode-0-20" and window.locator(".stage.afloat").count() == 1

    window.evaluate("scrollTo(0, 0)")
    window.wait_for_selector(".stage.afloat", state="detached")  # a function as text would be refused by the policy of the page
    window.wait_for_timeout(400)  # so that the click above and this press are not a double click
    window.mouse.move(place(window, 1300.0), height)
    window.mouse.down()
    window.mouse.move(place(window, 1100.0), height, steps=3)
    window.mouse.move(place(window, 900.0), height, steps=3)
    window.mouse.up()
    shown = "() => document.querySelector('.chart')._fullLayout.xaxis.range"
    assert window.evaluate(shown) == pytest.approx([1300, 900], abs=15)
    window.mouse.dblclick(place(window, 1250.0), height)
    assert window.evaluate(shown) == pytest.approx([4000, 400])

    downloads = {}
    for name in ("CSV", "JDX", "SVG", "xyz", "TOML"):
        with window.expect_download() as coming:
            window.get_by_role("button", name=name, exact=True).click()
        downloads[name] = tmp_path / coming.value.suggested_filename
        coming.value.save_as(downloads[name])
    np.testing.assert_allclose(read_csv(downloads["CSV"]).intensity, full.smoothed.intensity, rtol=1e-6)
    np.testing.assert_allclose(read_measured(downloads["JDX"]).intensity, full.smoothed.intensity, atol=1e-6)
    assert downloads["TOML"].read_text() == (full.folder / "settings.toml").read_text()
    assert downloads["SVG"].read_text().startswith("<svg") and "wavenumber / cm" in downloads["SVG"].read_text()
    first = downloads["xyz"].read_text().splitlines()
    assert len(first) == 2 * (9 + 2) and first[0] == "9" and "trans" in first[1]
    assert window.faults == []


def test_units_limits_weights_and_a_dropped_file(full, page, browser, tmp_path):
    window = opened(browser, page, viewport={"width": 600, "height": 900}, color_scheme="dark")
    assert window.evaluate("document.documentElement.scrollWidth") <= 600
    window.get_by_text("integrate a band").click()
    told = window.locator(".sum").inner_text()
    lower, upper, integral = map(float, re.match(r"(\d+)–(\d+) cm⁻¹: ([\d.]+) ±", told).groups())
    assert integral == pytest.approx(full.smoothed.integral(lower, upper), rel=0.03)
    window.locator(".handle").first.focus()
    window.keyboard.press("PageDown")
    assert window.locator(".sum").inner_text().startswith(f"{lower - 10:.0f}–")
    window.get_by_label("unit").select_option("transmittance")
    assert window.get_by_text("transmittance / %").count() == 1
    curve = "() => document.querySelector('.chart').data.find((t) => t.name?.startsWith('dynamics')).y"
    at = full.smoothed.axis >= 400
    factor = units_of(300.0)["absorbance"] * 1000.0 * 0.1
    np.testing.assert_allclose(window.evaluate(curve), 100 * 10 ** (-factor * full.smoothed.intensity[at]), rtol=1e-5)
    window.get_by_label("unit").select_option("molar")
    window.get_by_label("weight of trans").fill("0")
    np.testing.assert_allclose(window.evaluate(curve), full.parts[1].intensity[at], rtol=1e-5)
    names = "() => document.querySelector('.chart').data.map((t) => t.name).filter(Boolean)"
    before = window.evaluate(names)
    window.locator('.chip[data-layer="model"]').click()
    assert [n for n in before if n != "harmonic, model"] == window.evaluate(names)
    write_csv(tmp_path / "other.csv", full.spectrum)
    window.locator("input[type=file]").set_input_files(tmp_path / "other.csv")
    window.locator(".chip", has_text="other.csv").wait_for()
    assert "measured, other.csv" in window.evaluate(names)
    (tmp_path / "wrong.txt").write_text("hello")
    window.locator("input[type=file]").set_input_files(tmp_path / "wrong.txt")
    window.locator(".message", has_text="no two columns").wait_for()
    window.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert window.locator("details:not([open])").count() == 0
    assert window.faults == []


def test_without_scripts_the_page_is_as_it_was(page, browser):
    window = browser.new_page(java_script_enabled=False)
    window.goto(page.as_uri())
    assert window.locator("figure#spectrum > svg").is_visible()
    assert "wavenumber" in window.locator("figure#spectrum > svg").text_content()
