"""What the scripts of the page compute with: curves, conformers with their modes, bands and settings of a run as plain data.

Curves have seven significant digits and at most about twelve points a line width; everything else is as the artefacts say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import log

import numpy as np
import torch
from numpy.typing import NDArray

from densnet import units
from densnet.artefacts import using
from densnet.artefacts.run import Run
from densnet.molecules import SYMBOLS
from densnet.observables.conformers import Conformer
from densnet.report.assignment import assigned
from densnet.report.infrared import LOWER
from densnet.report.style import THEMED
from densnet.spectra.gas import GAS_CONSTANT, PATH, PRESSURE
from densnet.spectra.quantities import AVOGADRO
from densnet.spectra.raman import CROSS_SECTION, Light
from densnet.spectra.spectrum import ABSOLUTE, Spectrum
from densnet.spectra.width import sparse, widened


def embedded(run: Run) -> dict:
    """Of a run that has a spectrum."""
    told = run.get(using.BANDS)
    settings = run.folder / "settings.toml"
    return {
        "name": run.name,
        "formula": run.formula,
        "level": run.level,
        "temperature_K": run.temperature,
        "width": run.width,
        "lower": LOWER,
        "units": units_of(run.temperature),
        "palette": {name: colour for colour, name in THEMED.items()},
        "smoothed": curve_of(run.smoothed),
        "measured": measured_of(run.experiments, run.width, ABSOLUTE),
        "conformers": conformers_of(run),
        "bands": told.bands if told else [],
        "raman": raman_of(run),
        "settings": settings.read_text(encoding="utf-8") if settings.exists() else "",
    }


def units_of(temperature: float) -> dict:
    """What 1 km/mol per cm^-1 (napierian) is in other units, and the absorbance of a gas at 1 Pa over 1 m."""
    return {
        "molar": 1.0,
        "decadic": 100.0 / log(10),  # L/(mol cm)
        "cross_section": 1e5 / AVOGADRO,  # cm^2 per molecule
        "absorbance": 10.0 / (GAS_CONSTANT * temperature * log(10)),
        "pressure_Pa": PRESSURE,
        "path_m": PATH,
    }


def curve_of(spectrum: Spectrum) -> dict:
    """Axis, intensity and error of a curve, with its unit and header; `sparse`."""
    few = sparse(spectrum)
    return {
        "unit": few.unit,
        "header": dict(few.header),
        "axis": _rounded(few.axis),
        "intensity": _rounded(few.intensity),
        "error": None if few.error is None else _rounded(few.error),
    }


def measured_of(curves: Sequence[tuple[str, Spectrum]], width: float, absolute: str) -> list[dict]:
    """Measured curves by name, at the ``width`` of the figures; ``absolute``: those in this unit need no scale."""
    return [{"name": name, "absolute": one.unit == absolute, **curve_of(_thinned(widened(one, width)))} for name, one in curves]


def raman_of(run: Run) -> dict | None:
    """Cross sections of both polarisations and their sum over one axis, with the light that they refer to; None where none are known."""
    if run.raman is None:
        return None
    total, told = run.raman["total"], run.get(using.RAMAN_BANDS)
    columns = {name: curve_of(run.raman[name]) for name in ("total", "parallel", "perpendicular")}
    return {
        "header": dict(total.header),
        "light": light_of(Light(float(total.header["laser_nm"]), float(total.header["scattering temperature_K"]))),
        "axis": columns["total"]["axis"],
        "columns": {name: {key: curve[key] for key in ("unit", "intensity", "error")} for name, curve in columns.items()},
        "measured": measured_of(run.raman_experiments, run.width, CROSS_SECTION),
        "bands": told.bands if told else [],
    }


def light_of(light: Light) -> dict:
    """`Light.cross_section` as ``constant (nu_0 - nu)^4 / (nu (1 - exp(-nu / thermal)))``: nu in cm^-1, nu_0 that of the laser."""
    thermal, shift = light.temperature * units.KELVIN / units.INVERSE_CM, 1000.0
    whole = float(light.cross_section(np.array([shift]))[0])
    constant = whole * shift * -np.expm1(-shift / thermal) / (1e7 / light.laser - shift) ** 4
    return {"laser_nm": light.laser, "temperature_K": light.temperature, "constant": constant, "thermal": thermal}


def conformers_of(run: Run) -> list[dict]:
    """Each conformer of the model with its weight, geometry (Angstrom), modes, and its part of the spectrum where there are several."""
    if run.model is None:
        return []
    weights, parts = run.model.weights(run.temperature).tolist(), run.parts
    told = run.get(using.POPULATIONS)
    if told is not None and len(told.conformers) == len(weights):
        weights = [float(c["weight"]) for c in told.conformers]
    together = len(parts) == len(weights) > 1
    return [
        {
            "name": conformer.name,
            "weight": weight,
            "symbols": [SYMBOLS[n] for n in conformer.molecule.numbers.tolist()],
            "positions": (conformer.molecule.positions.double() / units.ANGSTROM).numpy().round(6).tolist(),
            "facing": facing(conformer.molecule.positions.double()),
            "part": curve_of(parts[k]) if together else None,
            "modes": modes_of(run, conformer),
        }
        for k, (conformer, weight) in enumerate(zip(run.model.conformers, weights))
    ]


def facing(positions: torch.Tensor) -> list[list[float]]:
    """[3, 3] rotation (rows: right, up, towards the eye): the longest extent of the atoms lies across the view, the shortest along."""
    axes = torch.linalg.svd(positions - positions.mean(0), full_matrices=True)[2]
    return _decimals(axes if torch.linalg.det(axes) > 0 else -axes)


def modes_of(run: Run, conformer: Conformer) -> list[dict]:
    """`assigned` in the order of the modes; each with its motion, the largest displacement of an atom being 1, and its dipole derivative
    ``dmu/dQ`` in D / (Angstrom sqrt(u)) for that motion's sign, by which the atoms on the whole move outwards."""
    modes, arms = conformer.modes, conformer.molecule.positions.double() - conformer.molecule.positions.double().mean(0)
    motions = modes.displacements.double()
    outwards = torch.where((motions * arms).sum((1, 2)) < 0, -1.0, 1.0)
    motions = motions * (outwards / motions.norm(dim=2).amax(dim=1))[:, None, None]
    slopes = modes.dipole_slopes.double() * outwards[:, None] * (units.ANGSTROM * units.AMU**0.5 / units.DEBYE)
    rows = sorted(assigned(run, conformer), key=lambda row: row.index)
    return [
        {**asdict(row), "measured": dict(row.measured), "motions": _decimals(motions[row.index]), "slope": _decimals(slopes[row.index])}
        for row in rows
    ]


def _decimals(values: torch.Tensor) -> list:
    return values.numpy().round(4).tolist()


def _rounded(values: NDArray) -> list[float]:
    return [float(f"{x:.7g}") for x in values.tolist()]


def _thinned(curve: Spectrum, step: float = 1.0) -> Spectrum:
    """On points no closer than ``step`` cm^-1, where it is sampled more finely."""
    if np.diff(curve.axis).min() >= 0.99 * step:
        return curve
    axis = np.arange(np.ceil(curve.axis[0]), curve.axis[-1], step)
    return Spectrum(axis, np.interp(axis, curve.axis, curve.intensity), curve.unit, header=curve.header)
