"""`densnet export` at the command line."""

import ase.io
import numpy as np
from springs import WATER, Springs
from typer.testing import CliRunner

from densnet.cli.main import build
from densnet.simulation.run import SimulateSettings, simulate


def test_the_verb_says_what_it_wrote(tmp_path):
    settings = SimulateSettings(replicas=3, thermalise_ps=0.02, duration_ps=0.06, sample_every=4, seed=3, temperature=200)
    simulate(Springs(WATER), WATER, settings, tmp_path / "run")
    out = tmp_path / "one.xyz"
    done = CliRunner().invoke(build(), ["export", str(tmp_path / "run"), "-o", str(out), "--replica", "1", "--every", "10"])
    assert done.exit_code == 0 and f"4 samples of replica 1: {out}" in done.output
    assert len(ase.io.read(out, ":")) == 4 and np.isfinite(ase.io.read(out).get_potential_energy())
