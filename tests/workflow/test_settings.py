"""A settings file is refused before the work if its dynamics cannot give its spectrum, and only then."""

from pathlib import Path

import pytest

from densnet.settings import SettingsError
from densnet.spectra.infrared import InfraredSettings, Sampling, SpectrumError, from_series
from densnet.units import FEMTOSECOND
from densnet.workflow.settings import complete


@pytest.mark.parametrize(
    ("duration_ps", "sample_every", "enough"),
    [(2.052, 4, True), (2.0515, 4, False), (2.0578, 7, True), (2.0577, 7, False)],
)
def test_a_run_is_refused_exactly_where_its_series_would_be(duration_ps, sample_every, enough):
    samples = 1 + round(2000 * duration_ps) // sample_every
    sampling = Sampling(0.5 * sample_every * FEMTOSECOND, 0.5 * FEMTOSECOND, 300.0)
    simulate = {"timestep_fs": 0.5, "duration_ps": duration_ps, "sample_every": sample_every}
    values = {"run": {"model": "water"}, "simulate": simulate, "spectrum": {"maximum": 4000.0}}
    tried = (
        (SpectrumError, lambda: from_series([[[0.0, 0.0, 0.0]] * samples], sampling, settings=InfraredSettings(maximum=4000.0))),
        (SettingsError, lambda: complete(values, Path(), "w")),
    )
    for error, attempt in tried:
        if enough:
            attempt()
        else:
            with pytest.raises(error, match="the series lasts"):
                attempt()
