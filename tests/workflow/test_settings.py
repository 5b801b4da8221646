"""A settings file is refused before the work if its dynamics cannot give its spectrum, and only then."""

from pathlib import Path

import numpy as np
import pytest

from densnet.settings import SettingsError
from densnet.spectra.infrared import from_series
from densnet.spectra.spectrum import Spectrum, SpectrumError
from densnet.spectra.tables import write_csv
from densnet.spectra.timeseries import Sampling, SeriesSettings
from densnet.units import FEMTOSECOND
from densnet.workflow.folder import Mark
from densnet.workflow.harmonic import ColdSettings
from densnet.workflow.settings import complete
from densnet.workflow.using import _side_by_side


@pytest.mark.parametrize(
    ("duration_ps", "sample_every", "enough"),
    [(2.052, 4, True), (2.0515, 4, False), (2.0578, 7, True), (2.0577, 7, False)],
)
def test_a_run_is_refused_exactly_where_its_series_would_be(duration_ps, sample_every, enough):
    samples = 1 + round(2000 * duration_ps) // sample_every
    sampling = Sampling(0.5 * sample_every * FEMTOSECOND, 0.5 * FEMTOSECOND, 300.0, highest=4000.0)
    simulate = {"timestep_fs": 0.5, "duration_ps": duration_ps, "sample_every": sample_every}
    values = {"run": {"model": "water"}, "simulate": simulate, "spectrum": {"maximum": 4000.0}}
    tried = (
        (SpectrumError, lambda: from_series([[[0.0, 0.0, 0.0]] * samples], sampling, settings=SeriesSettings(maximum=4000.0))),
        (SettingsError, lambda: complete(values, Path(), "w")),
    )
    for error, attempt in tried:
        if enough:
            attempt()
        else:
            with pytest.raises(error, match="the series lasts"):
                attempt()


@pytest.mark.parametrize(
    ("simulate", "spectrum", "words"),
    [
        ({"sample_every": 16}, {"maximum": 1800.0}, r"the molecule may absorb up to 4024 cm\^-1.* sample every 3.5 fs or more often"),
        ({"sample_every": 7}, {"maximum": 5000.0}, r"`maximum` is 5000 cm\^-1; lower `maximum`, or sample every 2.5 fs or more often"),
        ({}, {"step": 50.0}, r"a `step` of 50 cm\^-1 misses lines of 16.3 cm\^-1.* lower `step` to 8.1 or less"),
    ],
)
def test_what_the_sampling_or_the_axis_would_miss_is_refused(simulate, spectrum, words):
    """By what the molecule holds, an O-H stretch, not by what is shown of it."""
    with pytest.raises(SettingsError, match=r"\[simulate\] is not suitable for its spectrum: .*" + words):
        complete({"run": {"model": "water"}, "simulate": simulate, "spectrum": spectrum}, Path(), "w")


def test_a_measured_curve_outside_the_spectrum_is_refused(tmp_path):
    axis = np.arange(4500.0, 6000.0, 2.0)
    write_csv(tmp_path / "far.csv", Spectrum(axis, np.ones_like(axis)))
    with pytest.raises(SpectrumError, match="far.csv: nothing to compare: the spectra cover 0-4000 and 4500-5998 cm"):
        complete({"run": {"model": "water"}, "spectrum": {"experiment": ["far.csv"], "maximum": 4000.0}}, tmp_path, "w")


OLD = {"density": {"steps": 2000}, "points": {"steps": 1000, "learning_rate": 1e-3}}


@pytest.mark.parametrize(
    ("begun", "said", "steps"),
    [(None, {}, (0, 3000, 3e-3)), (OLD, {}, (2000, 1000, 1e-3)), (OLD, {"points": {"steps": 7}}, (2000, 7, 1e-3)),
     ({"density": {"steps": 5}, "points": {"steps": 1000, "learning_rate": 1e-2}}, {}, (0, 1000, 3e-3))],
)  # fmt: skip
def test_a_stage_keeps_the_default_that_it_was_begun_with(tmp_path, begun, said, steps):
    """What an older version has made is not made anew because a default has changed; what the file says counts."""
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0\nH 0 0.76 0.59\nH 0 -0.76 0.59\n")
    values = {"run": {"folder": str(tmp_path / "run")}, "sample": {"geometries": "water.xyz"}, "train": said}
    if begun is not None:
        Mark("key", {"model": {}, "train": begun}, {}).write(tmp_path / "run" / "train")
    found = complete(values, tmp_path, "w").train
    assert (found.density.steps, found.points.steps, found.points.learning_rate) == steps


def test_a_cold_run_is_made_where_its_section_asks_for_it(tmp_path):
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0\nH 0 0.76 0.59\nH 0 -0.76 0.59\n")
    values = {"run": {"folder": str(tmp_path / "run")}, "sample": {"geometries": "water.xyz"}}
    asked = complete({**values, "cold": {"temperature": 5.0}}, tmp_path, "w")
    assert asked.cold.run and "run" not in asked.cold.deciding()  # as in folders of before, which had no other choice
    assert not complete(values, tmp_path, "w").cold.run
    Mark("key", {"cold": {"temperature": 10.0}}, {}).write(tmp_path / "run" / "validate")
    assert complete(values, tmp_path, "w").cold.deciding() == ColdSettings().deciding()


def test_integrals_side_by_side_are_over_one_range():
    found, curve, short = (Spectrum(np.arange(*ends), np.ones(ends[1] - ends[0])) for ends in ((0, 4201), (550, 3901), (1000, 2001)))
    assert _side_by_side((3400, 4500), found, []) == (3400, 4200)
    assert _side_by_side((3300, 4000), found, [curve, short]) == (3300, 3900)  # `short` has nothing of this band
    assert _side_by_side((500, 1000), found, [curve]) == (550, 1000)
