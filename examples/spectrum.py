# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a molecule to its infrared spectrum
#
# A notebook in jupytext's percent format: open it in Jupyter (`pip install jupytext`, then "Open as notebook"), or run it as a script.
# Results show themselves below their cells. Everything is in atomic units unless said otherwise; `densnet.units` has the others.

# %%
from importlib.util import find_spec
from pathlib import Path

import ase.io
import numpy as np

import densnet
from densnet import infrared, timeseries, units
from densnet.frames import smiles
from densnet.interfaces import molden

model = densnet.load("ethanol")  # a shipped model, or the path of your own

# %% [markdown]
# ## A geometry
#
# From SMILES through RDKit (`pip install 'densnet[smiles]'`), or from an xyz file. The model relaxes it.

# %%
if find_spec("rdkit"):
    start = smiles.embedded("CCO", 1)[0]
else:
    start = densnet.molecules_of(ase.io.read("examples/geometries/ethanol.xyz", index=0))

molecule = densnet.relax(model, start)
found = model(molecule)
print(f"{float(found.energy) / units.EV:.3f} eV, expected error {float(found.uncertainty.energy) / units.MEV:.2f} meV")
print(f"novelty {float(found.uncertainty.novelty):.2f}: below 1, as usual as the validation frames of the model")

# %% [markdown]
# ## Its electron density

# %%
found.density

# %% [markdown]
# ## Harmonic spectrum
#
# Normal modes and intensities, then the lines with a width.

# %%
modes = densnet.normal_modes(model, molecule)
modes

# %%
harmonic = infrared.from_modes(modes).broaden(np.arange(200.0, 4001.0))
harmonic

# %% [markdown]
# ## Dynamics
#
# Far too short for a spectrum that means something; `docs/convergence.md` says how much is needed, and `densnet run ethanol` does it.

# %%
settings = densnet.SimulateSettings(replicas=2, duration_ps=0.15, thermalise_ps=0.03, timestep_fs=1.0, sample_every=2, threads=1)
trajectory = densnet.read_trajectory(densnet.simulate(model, molecule, settings, Path("runs/notebook")))
trajectory

# %% [markdown]
# ## Spectrum of the dynamics
#
# In km/mol per cm^-1, with the scatter of the replicas as its error.

# %%
temperatures = trajectory.temperature.mean(dim=1).numpy()
highest = timeseries.highest_wavenumber(molecule)
sampling = timeseries.Sampling(trajectory.sample_step, trajectory.time_step, temperatures, highest)
spectrum = infrared.from_series(trajectory.dipole, sampling, settings=timeseries.SeriesSettings(depth=100.0))
spectrum

# %% [markdown]
# ## The modes in a viewer
#
# Jmol, Avogadro and Molden animate this file.

# %%
molden.write(Path("runs/notebook/modes.molden"), modes, "ethanol")
