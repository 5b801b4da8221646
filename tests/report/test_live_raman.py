"""The Raman spectrum on the page that answers: its data and arithmetic against the package, and both spectra read together in a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from densnet.artefacts import using
from densnet.artefacts.content import RamanBands
from densnet.artefacts.run import Run
from densnet.report.content import report
from densnet.report.embedded import embedded, light_of
from densnet.report.raman import raman_drawing
from densnet.spectra.measured import is_raman, read_raman
from densnet.spectra.output import columns_of
from densnet.spectra.raman import ACTIVITY, CROSS_SECTION, Light, Raman, lines_of
from densnet.spectra.spectrum import Gaussian, Spectrum, Sticks
from densnet.spectra.sticks import band_rows, raman_between, raman_rows, sticks_of
from densnet.spectra.tables import read_table, write_csv, write_table
from densnet.spectra.width import sparse
from tests.report.conftest import ethanol
from tests.report.scripts import computed, held, opened, place

LIGHT = Light(532.0, 300.0)
WIDTH = 24.0
BANDS = [(1600.0, 2500.0), (2700.0, 3120.0), (3500.0, 3800.0)]
LARGEST = 4_000_000


def spectrum_of(run: Run) -> Raman:
    """The harmonic lines of a run's model as if its dynamics had given them, with lines of `WIDTH`."""
    axis, header = np.arange(0.0, 4001.0), {"resolution_cm-1": WIDTH}
    weights, lines = run.model.weights(300.0).tolist(), list(lines_of(run.model).values())
    both = []
    for name in ("isotropic", "anisotropic"):
        sticks = [Sticks(own.frequencies.numpy(), w * getattr(own, name).numpy()) for w, own in zip(weights, lines)]
        curve = sum(one.broaden(axis, Gaussian.of_width(WIDTH)).intensity for one in sticks)
        both.append(Spectrum(axis, curve, ACTIVITY, header=header))
    return Raman(*both)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Ethanol with a Raman spectrum whose error is a tenth of it, its bands, and a measured curve."""
    bare = ethanol(tmp_path_factory.mktemp("raman"))
    found = spectrum_of(bare)
    write_table(
        using.RAMAN_SMOOTHED.path(bare.folder),
        {name: replace(one, error=0.1 * one.intensity) for name, one in columns_of(found, LIGHT).items()},
    )
    rows = raman_rows(found.bands(BANDS, LIGHT), bare.model, 300.0)
    using.RAMAN_BANDS.write(using.RAMAN_BANDS.path(bare.folder), RamanBands(300.0, 532.0, rows))
    infrared = {"temperature_K": 300.0, "bands": band_rows(bare.spectrum.bands(BANDS), sticks_of(bare.model, 300.0)), "experiment": {}}
    (bare.folder / "spectrum" / "bands.json").write_text(json.dumps(infrared))
    (bare.folder / "spectrum" / "raman-comparison.json").write_text(json.dumps({"mine.csv": ""}))
    shift = np.arange(500.0, 3900.0, 5.0)
    text = "\n".join(f"{x},{y}" for x, y in zip(shift, 7 * np.interp(shift, found.isotropic.axis, found.activity.intensity)))
    (bare.folder / "spectrum" / "raman-experiment-0.csv").write_text(f"Raman shift (cm-1),intensity\n{text}\n")
    return Run("ethanol", bare.folder, {}, {})


@pytest.fixture(scope="module")
def columns(run) -> dict[str, Spectrum]:
    """Its Raman spectrum as the page has it: every second point."""
    found = {name: sparse(one) for name, one in run.raman.items()}
    assert np.diff(found["total"].axis) == pytest.approx(2.0)
    return found


@pytest.fixture(scope="module")
def page(run) -> Path:
    """Its page, as a file."""
    path = run.folder / "report.html"
    path.write_text(report(run), encoding="utf-8")
    return path


def test_the_embedded_data_are_those_of_the_artefacts(run, columns, page):
    text = page.read_text()
    data = held(text)["raman"]
    assert len(text.encode()) < LARGEST
    for name, column in data["columns"].items():
        np.testing.assert_allclose(column["intensity"], columns[name].intensity, rtol=1e-6)
        np.testing.assert_allclose(column["error"], columns[name].error, rtol=1e-6)
    np.testing.assert_allclose(data["axis"], columns["total"].axis)
    assert data["measured"][0]["name"] == "mine.csv" and not data["measured"][0]["absolute"]
    static = text.split("<script")[0]
    assert re.findall(r'data-key="(raman-\d)"', static) == ["raman-0", "raman-1", "raman-2"]
    for told, lines in zip(held(text)["conformers"], lines_of(run.model).values()):
        np.testing.assert_allclose([m["raman"][0] for m in told["modes"]], lines.activities)
        np.testing.assert_allclose([m["raman"][1] for m in told["modes"]], lines.depolarisation)


@pytest.mark.parametrize("light", [LIGHT, Light(785.0, 77.0)])
def test_cross_sections_are_those_of_the_package(light):
    shifts = np.array([50.0, 400.0, 1500.0, 3700.0])
    for laser in (light.laser, 1064.0):
        found = computed("given.x.map((x) => quantities.perActivity(x, given.light, given.laser))",
                         x=shifts.tolist(), light=light_of(light), laser=laser)  # fmt: skip
        np.testing.assert_allclose(found, replace(light, laser=laser).cross_section(shifts), rtol=1e-12)


def test_the_page_computes_as_the_package_does(run, columns, tmp_path):
    data, found = embedded(run), spectrum_of(run)
    limits = [2700.0, 3120.0]
    told = computed(
        """((raman, all) => ({
          lines: quantities.broadened(
            raman.lines("model", all).map((l) => ({ ...l, strength: raman.strength(l) })), given.axis, given.width),
          activity: raman.shown(raman.sum(), { unit: "activity", conditions: { laser: 532 } }).intensity,
          red: raman.shown(raman.sum(), { unit: "cross_section", conditions: { laser: 785 } }),
          ratio: raman.remark(2950),
          band: raman.told(given.limits, { unit: "cross_section", conditions: { laser: 532 } }),
          csv: raman.csv({ unit: "cross_section", conditions: { laser: 532 } }),
          jdx: raman.jdx({ unit: "cross_section", conditions: { laser: 532 } }),
        }))(kinds.raman(given.data), given.data.conformers.map((c) => c.weight))""",
        data=data, axis=columns["total"].axis.tolist(), width=WIDTH, limits=limits,
    )  # fmt: skip
    total, activity = columns["total"], sparse(found.activity.above(WIDTH))
    weights = [c["weight"] for c in data["conformers"]]
    sticks = [Sticks(own.frequencies.numpy(), w * LIGHT.cross_section(own.frequencies.numpy()) * own.activities.numpy() / 45)
              for w, own in zip(weights, lines_of(run.model).values())]  # fmt: skip
    expected = sum(one.broaden(total.axis, Gaussian.of_width(WIDTH)).intensity for one in sticks)
    np.testing.assert_allclose(told["lines"], expected, atol=1e-9 * expected.max())
    np.testing.assert_allclose(told["activity"], activity.intensity, rtol=1e-6, atol=1e-12)
    infrared_laser = sparse(found.total(Light(785.0, 300.0)))
    np.testing.assert_allclose(told["red"]["intensity"], infrared_laser.intensity, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(told["red"]["error"], 0.1 * infrared_laser.intensity, rtol=1e-6, atol=1e-12)
    ratio = np.divide(*(np.interp(2950.0, total.axis, columns[name].intensity) for name in ("perpendicular", "parallel")))
    assert told["ratio"] == f"ρ {ratio:.2f}" and 0 < ratio < 0.75
    band = found.band(*limits, LIGHT)
    numbers = list(map(float, re.search(r": ([\d.]+) ± [\d.]+ Å⁴/u, depolarisation ([\d.]+), \(([\d.]+)", told["band"]).groups()))
    assert numbers == pytest.approx([band.integral, band.depolarisation, band.cross_section], rel=2e-3)
    for name in ("csv", "jdx"):
        (tmp_path / f"page.{name}").write_text(told[name])
    again = read_table(tmp_path / "page.csv")
    assert set(again) == {"total", "parallel", "perpendicular"} and again["total"].header["laser_nm"] == 532
    for name, one in again.items():
        assert one.unit == CROSS_SECTION
        np.testing.assert_allclose(one.intensity, columns[name].intensity, rtol=1e-6)
        np.testing.assert_allclose(one.error, columns[name].error, rtol=1e-6)
    assert is_raman(tmp_path / "page.jdx") and "532 nm, 300 K" in told["jdx"]
    curve = read_raman(tmp_path / "page.jdx")
    np.testing.assert_allclose(np.ptp(curve.intensity), np.ptp(total.intensity), rtol=1e-6)


def test_measured_raman_files_are_told_from_infrared_ones(run, tmp_path):
    write_table(tmp_path / "ours.csv", run.raman)
    curve = "\n".join(f"{x},{5 + np.exp(-(((x - 900) / 30) ** 2))}" for x in range(500, 3000, 4))
    texts = {
        "ours": ((tmp_path / "ours.csv").read_text(), "infrared", ("Raman", True)),
        "words": (f"Raman shift (532 nm),counts\n{curve}", "infrared", ("Raman", False)),
        "nothing": (f"cm-1,intensity\n{curve}", "Raman", ("Raman", False)),
        "other": (f"cm-1,absorbance\n{curve}", "Raman", ("infrared", False)),
    }
    for name, (text, likely, (kind, absolute)) in texts.items():
        read = computed("quantities.measured(given.text, given.name, given.likely)", text=text, name=name, likely=likely)
        assert (read["kind"], read["absolute"]) == (kind, absolute), name
        if name in ("words", "nothing"):  # a baseline of 5 is gone, the shift is no wavelength
            assert min(read["intensity"]) == pytest.approx(0, abs=1e-6) and read["axis"][0] == 500
    np.testing.assert_allclose(computed("quantities.measured(given.text, 'x', 'Raman')", text=texts["ours"][0])["intensity"],
                               run.raman["total"].intensity, rtol=1e-9)  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- gestures, in a browser


def shown(window, figure: str) -> list[float]:
    return window.evaluate(f"document.querySelector('#{figure} .chart')._fullLayout.xaxis.range")


def names(window, figure: str) -> list[str]:
    return window.evaluate(f"document.querySelector('#{figure} .chart').data.map((t) => t.name).filter(Boolean)")


def level(window, figure: str, part: float) -> float:
    """Height on the screen, as a part of a chart's own."""
    box = window.locator(f"#{figure} .plot").bounding_box()
    return box["y"] + part * box["height"]


def test_both_spectra_are_read_zoomed_and_lit_together(run, columns, page, browser, tmp_path):
    window = opened(browser, page, viewport={"width": 1000, "height": 1000})
    assert window.locator("figure#raman > svg").is_hidden() and window.locator("#raman .chart svg text").count() > 10
    window.locator("#raman .plot").scroll_into_view_if_needed()

    window.mouse.move(place(window, 2950.0, "raman"), level(window, "raman", 0.4))
    readout = window.locator("#raman .readout")
    there = float(re.search(r"([\d.]+) cm⁻¹", readout.inner_text())[1])
    value, error = map(float, readout.locator(".value").first.inner_text().split(" ± "))
    assert value == pytest.approx(np.interp(there, columns["total"].axis, columns["total"].intensity), rel=0.02)
    assert error == pytest.approx(0.1 * value, rel=0.1)
    assert re.search(r"ρ 0\.\d\d\n", readout.inner_text()) and "Å⁴/u" in readout.inner_text() and "stretch" in readout.inner_text()
    assert window.locator("#spectrum .readout b").inner_text() == f"{there:.1f} cm⁻¹"  # the other chart reads the same place
    assert window.locator("#spectrum .cursor").is_visible()

    lines = run.model.conformers[1]
    activities = list(lines_of(run.model).values())[1].activities
    wanted = float(lines.modes.frequencies[int(activities.argmax())])
    window.mouse.click(place(window, wanted, "raman"), level(window, "raman", 0.84))
    conformer, mode = map(int, window.locator("tr.lit").get_attribute("data-key").split("-")[1:])
    told = held(page.read_text())["conformers"][conformer]["modes"][mode]
    assert window.locator("#raman .stage").is_visible() and window.locator(".stage.afloat").count() == 0
    assert f"{told['raman'][0]:.1f} Å⁴/u" in window.locator(".stage").inner_text()
    lit = "(figure) => document.querySelector(`#${figure} .chart`).data.find((t) => t.name === 'lit, harmonic, model')"
    weight = held(page.read_text())["conformers"][conformer]["weight"]
    for figure, strength in (("raman", told["raman"][0]), ("spectrum", told["strength"])):
        stick = window.evaluate(lit, figure)
        assert stick["x"][0] == pytest.approx(told["harmonic"]) and stick["y"][1] == pytest.approx(weight * strength)

    window.wait_for_timeout(400)  # so that the click and this press are not a double click
    window.mouse.move(place(window, 3300.0, "raman"), level(window, "raman", 0.4))
    window.mouse.down()
    for x in (3100.0, 2700.0):
        window.mouse.move(place(window, x, "raman"), level(window, "raman", 0.4), steps=3)
    window.mouse.up()
    assert shown(window, "raman") == pytest.approx([3300, 2700], abs=15) and shown(window, "spectrum") == shown(window, "raman")
    window.locator("#spectrum").get_by_role("button", name="whole spectrum").click()
    assert shown(window, "raman") == shown(window, "spectrum") == pytest.approx([4000, 400])

    window.locator('tr[data-key="raman-1"]').click()
    assert [row.get_attribute("data-key") for row in window.locator("tr.lit").all()] == ["band-1", "raman-1"]
    for figure in ("raman", "spectrum"):
        area = window.evaluate(f"document.querySelector('#{figure} .chart')._fullLayout.shapes.map((s) => [s.x0, s.x1])")
        assert area == [[2700, 3120]]

    for name in ("CSV", "JDX", "SVG"):
        with window.expect_download() as coming:
            window.locator("#raman").get_by_role("button", name=name, exact=True).click()
        assert coming.value.suggested_filename == f"ethanol-raman.{name.lower()}"
        coming.value.save_as(tmp_path / coming.value.suggested_filename)
    np.testing.assert_allclose(read_table(tmp_path / "ethanol-raman.csv")["total"].intensity, columns["total"].intensity, rtol=1e-6)
    assert is_raman(tmp_path / "ethanol-raman.jdx")
    drawn = (tmp_path / "ethanol-raman.svg").read_text()
    assert drawn.startswith("<svg") and "Raman shift / cm" in drawn and "cross section" in drawn
    assert window.faults == []


def test_layers_laser_limits_and_a_dropped_curve(run, columns, page, browser, tmp_path):
    window = opened(browser, page, viewport={"width": 600, "height": 900}, color_scheme="dark")
    assert window.evaluate("document.documentElement.scrollWidth") <= 600
    figure = window.locator("#raman")
    chips = {chip.get_attribute("data-layer"): chip.get_attribute("aria-pressed") for chip in figure.locator(".chip").all()}
    assert chips == {"dynamics": "true", "parallel": "false", "perpendicular": "true", "measured-0": "true",
                     "model": "true", "reference": "true", "other": "false"}  # fmt: skip
    for layer in ("parallel", "reference", "other", "dynamics"):
        figure.locator(f'.chip[data-layer="{layer}"]').click()
    assert names(window, "raman") == ["of it, parallel", "of it, crossed", "measured, mine.csv", "infrared, same height", "harmonic, model"]
    assert "harmonic, PBE" in names(window, "spectrum")  # layers are each chart's own
    figure.locator('.chip[data-layer="dynamics"]').click()
    curve = "document.querySelector('#raman .chart').data.find((t) => t.name?.startsWith('dynamics')).y"
    kept = columns["total"].axis >= 400
    figure.get_by_role("spinbutton").fill("785")
    red = sparse(spectrum_of(run).total(Light(785.0, 300.0)))
    np.testing.assert_allclose(window.evaluate(curve), red.intensity[kept], rtol=1e-5, atol=1e-9)
    figure.get_by_label("unit").select_option("activity")
    assert figure.get_by_role("spinbutton").count() == 0
    np.testing.assert_allclose(window.evaluate(curve), sparse(spectrum_of(run).activity.above(WIDTH)).intensity[kept], rtol=1e-5, atol=1e-9)

    figure.get_by_text("integrate a band").click()
    lower, upper, area = map(float, re.match(r"(\d+)–(\d+) cm⁻¹: ([\d.]+) ±", figure.locator(".sum").inner_text()).groups())
    assert area == pytest.approx(spectrum_of(run).activity.integral(lower, upper), rel=0.03)
    known, _ = raman_between(run.reference, 300.0, lower, upper)
    assert window.locator("#spectrum .sum").inner_text().startswith(f"{lower:.0f}–{upper:.0f} cm⁻¹")
    assert float(re.search(r"PBE ([\d.]+) Å⁴/u", figure.locator(".sum").inner_text())[1]) == pytest.approx(known, rel=0.05)

    (tmp_path / "new.csv").write_text("Raman shift (cm-1),counts\n" + "".join(f"{x},{1000 + x % 50}\n" for x in range(500, 3500, 5)))
    window.locator("#spectrum input[type=file]").set_input_files(tmp_path / "new.csv")
    figure.locator(".chip", has_text="new.csv").wait_for()
    assert any(name.startswith("measured, new.csv") for name in names(window, "raman"))
    assert not any("new.csv" in name for name in names(window, "spectrum"))
    write_csv(tmp_path / "infrared.csv", run.spectrum)
    figure.locator("input[type=file]").set_input_files(tmp_path / "infrared.csv")
    window.locator("#spectrum .chip", has_text="infrared.csv").wait_for()
    window.evaluate("dispatchEvent(new Event('beforeprint'))")
    window.evaluate("dispatchEvent(new Event('afterprint'))")
    assert window.faults == []


def test_without_scripts_the_figure_is_static(run, page, browser):
    window = browser.new_page(java_script_enabled=False)
    window.goto(page.as_uri())
    assert window.locator("figure#raman > svg").is_visible() and window.locator("#raman .live").count() == 0
    assert "Raman cross section" in window.locator("figure#raman > svg").text_content()
    assert len(raman_drawing(run).axes) == 4  # dynamics, measured, harmonic, infrared
