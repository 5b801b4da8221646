"""What a run leaves while it uses its model: conformers, checks, trajectory, spectrum, what is compared with it."""

from __future__ import annotations

from densnet.artefacts.artefact import Artefact, Series, read_arrays, write_arrays
from densnet.artefacts.content import (
    Analysis,
    Bands,
    ColdRun,
    Drift,
    ExpectedErrors,
    Fundamentals,
    Populations,
    RamanBands,
    Verification,
)
from densnet.files import read_json, write_json
from densnet.reference import geometries
from densnet.spectra.measured import read_measured, read_raman
from densnet.spectra.tables import read_csv, read_table, write_csv

CONFORMERS = Artefact("conformers", "conformers.json", Analysis.read, Analysis.write)
"""Conformers and normal modes of the model."""

FUNDAMENTALS = Artefact("conformers", "anharmonic.json", Fundamentals.read, Fundamentals.write)
"""Quantum fundamentals of the model."""

SHIPPED = Artefact("conformers", "reference.json", Analysis.read)
"""What ships of the molecule: modes and anharmonic constants at the reference level, measured fundamentals."""

SLICES = Artefact("validate", "slices.npz", read_arrays, write_arrays)
"""The density of a held-out frame in a plane, DFT and model."""

COLD_SPECTRUM = Artefact("validate", "cold.csv", read_csv, write_csv)
COLD_RUN = Artefact("validate", "cold.json", ColdRun.read, ColdRun.write)
"""Spectrum of the dynamics of a cold molecule, and its bands."""

TRAJECTORY: Artefact[None] = Artefact("simulate", "trajectory.h5")
"""H5MD of all replicas; `simulation.trajectory.read_trajectory` reads it, in parts."""

UNCERTAIN = Artefact("simulate", "uncertain.extxyz", geometries.read)
"""Flagged frames, to be labelled."""

ENERGIES = Artefact("simulate", "drift.npz", read_arrays, write_arrays)
DRIFT = Artefact("simulate", "drift.json", Drift.read, Drift.write)
"""The conserved energy of each replica, and how it drifted."""

EXPECTED = Artefact("simulate", "expected.json", ExpectedErrors.read, ExpectedErrors.write)
"""Errors that the model expects along the trajectory."""

WARNINGS = Artefact("simulate", "warnings.json", read_json, write_json)
"""Warnings of the simulation, sentences."""

SPECTRUM = Artefact("spectrum", "spectrum.csv", read_csv)
SMOOTHED = Artefact("spectrum", "smoothed.csv", read_csv)
"""Infrared spectrum as the window leaves it, and at the width of the figures; written by `spectra.output.write_spectrum`."""

PARTS = Series("spectrum", "conformer-*.csv", read_csv, write_csv)
SMOOTHED_PARTS = Series("spectrum", "smoothed-*.csv", read_csv, write_csv)
"""The same of each conformer."""

BANDS = Artefact("spectrum", "bands.json", Bands.read, Bands.write)
COMPARISON = Artefact("spectrum", "comparison.json", read_json, write_json)
"""Bands beside harmonic and measured ones; by name of a measured curve how alike it is, a sentence."""

MEASURED = Series("spectrum", "experiment-*", read_measured)
"""Copies of the user's measured curves, in the order in which `COMPARISON` names them."""

RAMAN = Artefact("spectrum", "raman.csv", read_table)
RAMAN_SMOOTHED = Artefact("spectrum", "raman-smoothed.csv", read_table)
RAMAN_BANDS = Artefact("spectrum", "raman-bands.json", RamanBands.read, RamanBands.write)
"""The Raman spectrum, its columns by name, and its bands; where the trajectory has polarizabilities."""

RAMAN_COMPARISON = Artefact("spectrum", "raman-comparison.json", read_json, write_json)
RAMAN_MEASURED = Series("spectrum", "raman-experiment-*", read_raman)
"""As `COMPARISON` and `MEASURED`."""

POPULATIONS = Artefact("spectrum", "ensemble.json", Populations.read, Populations.write)
"""Conformers and what the dynamics makes of them."""

VERIFICATION = Artefact("verify", "verify.json", Verification.read, Verification.write)
"""Lines of the model against gradients of the reference level, of a refined one, or by `densnet verify` into the folder of the run."""
