"""Molecular dynamics and infrared spectra from machine-learned electron densities.

    import densnet

    model = densnet.load("water")
    molecule = densnet.Molecules.single([8, 1, 1], [[0.0, 0.0, 0.22], [0.0, 1.43, -0.89], [0.0, -1.43, -0.89]])  # bohr
    print(densnet.normal_modes(model, densnet.relax(model, molecule)).frequencies)  # cm^-1

The names below are the public face; each is imported when it is first used, so that `import densnet` costs milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from densnet import units
    from densnet.dataset.store import read as read_labels
    from densnet.density.expansion import Density
    from densnet.interfaces.ase import DensnetCalculator, calculator, molecules_of
    from densnet.model.predictor import load
    from densnet.molecules import Molecules
    from densnet.observables.vibrations import normal_modes, relax
    from densnet.properties import Properties
    from densnet.simulation.joined import read_joined
    from densnet.simulation.run import SimulateSettings, read_trajectory, simulate
    from densnet.spectra import infrared, raman, timeseries
    from densnet.spectra.spectrum import Spectrum
    from densnet.training.objective import evaluate
    from densnet.workflow.execution import run

__version__ = "0.1.0"

__all__ = [
    "Density", "DensnetCalculator", "Molecules", "Properties", "SimulateSettings", "Spectrum", "calculator", "evaluate", "infrared",
    "load", "molecules_of", "normal_modes", "raman", "read_joined", "read_labels", "read_trajectory", "relax", "run", "simulate",
    "timeseries", "units",
]  # fmt: skip

_HOMES = {
    "Density": ("densnet.density.expansion", "Density"),
    "DensnetCalculator": ("densnet.interfaces.ase", "DensnetCalculator"),
    "Molecules": ("densnet.molecules", "Molecules"),
    "Properties": ("densnet.properties", "Properties"),
    "SimulateSettings": ("densnet.simulation.run", "SimulateSettings"),
    "Spectrum": ("densnet.spectra.spectrum", "Spectrum"),
    "calculator": ("densnet.interfaces.ase", "calculator"),
    "evaluate": ("densnet.training.objective", "evaluate"),
    "infrared": ("densnet.spectra.infrared", None),
    "load": ("densnet.model.predictor", "load"),
    "molecules_of": ("densnet.interfaces.ase", "molecules_of"),
    "normal_modes": ("densnet.observables.vibrations", "normal_modes"),
    "raman": ("densnet.spectra.raman", None),
    "read_joined": ("densnet.simulation.joined", "read_joined"),
    "read_labels": ("densnet.dataset.store", "read"),
    "read_trajectory": ("densnet.simulation.run", "read_trajectory"),
    "relax": ("densnet.observables.vibrations", "relax"),
    "run": ("densnet.workflow.execution", "run"),
    "simulate": ("densnet.simulation.run", "simulate"),
    "timeseries": ("densnet.spectra.timeseries", None),
    "units": ("densnet.units", None),
}
"""Public name -> module and name in it (None: the module itself)."""


def __getattr__(name: str) -> object:
    """A public name, imported at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'densnet' has no attribute {name!r}; it has {', '.join(__all__)}.")
    module, attribute = _HOMES[name]
    found = import_module(module)
    globals()[name] = value = found if attribute is None else getattr(found, attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
