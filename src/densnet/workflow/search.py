"""Conformers of a molecule that is named by its SMILES: embedded by RDKit, relaxed and weighed by GFN2-xTB."""

from __future__ import annotations

from functools import partial

from pydantic import Field

from densnet import units
from densnet.errors import DensnetError
from densnet.frames import smiles
from densnet.molecules import Molecules, bonding
from densnet.observables.conformers import Ensemble, characterise, gather, superpositions
from densnet.observables.vibrations import relax
from densnet.progress import Progress
from densnet.reference.semiempirical import gfn2_xtb
from densnet.settings import Section
from densnet.threads import one_thread

LOOSE = 2e-4
"""hartree/bohr: force at which a relaxation is good enough to tell conformers apart."""

MOST = 100
"""Embeddings, however many rotors there are."""


class SearchError(DensnetError):
    """A molecule that has no conformers at GFN2-xTB; the message says why."""


class SearchSettings(Section):
    """Which conformers a molecule starts from that is given as SMILES."""

    embeddings: int = Field(0, ge=0, description="geometries by RDKit; 0 = 10, three times as many for each rotor, at most 100")
    energy_window: float = Field(30.0, gt=0, description="kJ/mol above the lowest GFN2-xTB energy up to which a minimum is looked at")
    smallest_share: float = Field(0.01, ge=0, lt=1, description="conformers with a smaller share of the molecules are left out")
    most: int = Field(8, gt=0, description="at most so many conformers, those with the largest shares")
    temperature: float = Field(300.0, gt=0, description="K, of the shares")


@one_thread()
def search(text: str, settings: SearchSettings, progress: Progress) -> list[tuple[str, Molecules, float]]:
    """(name, geometry, share) of the conformers of the molecule with the SMILES ``text``, the largest share first.

    The shares are those of `Ensemble.weights`, from free energies of GFN2-xTB. Minima that are the same, or mirror images, are one.
    Raises `smiles.SmilesError`; `SearchError` where the molecule rearranges at GFN2-xTB.
    """
    known = smiles.named(text)
    wanted = settings.embeddings or min(MOST, 10 * 3**known.rotors)
    starts = _different(smiles.embedded(text, wanted))
    whole = bonding(starts[0])
    minima: list[tuple[Molecules, float]] = []
    for done, start in enumerate(starts):
        progress(done, 2 * len(starts), "conformers, relaxed by GFN2-xTB")
        relaxed = relax(gfn2_xtb, start, LOOSE)
        if bonding(relaxed) == whole and not any(superpositions(relaxed, other) for other, _ in minima):
            minima.append((relaxed, float(gfn2_xtb(relaxed).energy[0])))
    if not minima:
        raise SearchError(f"SMILES {text!r}: no geometry keeps its bonds at GFN2-xTB; save one in an xyz file and name that instead.")
    lowest = min(energy for _, energy in minima)
    near = [m for m, energy in sorted(minima, key=lambda pair: pair[1]) if (energy - lowest) / units.KJ_PER_MOL <= settings.energy_window]
    found = gather([(str(k), m) for k, m in enumerate(near)], partial(_described, progress, len(near)))
    return _named(found, settings)


def _different(geometries: list[Molecules]) -> list[Molecules]:
    kept: list[Molecules] = []
    for one in geometries:
        if not any(superpositions(one, other) for other in kept):
            kept.append(one)
    return kept


def _described(progress: Progress, total: int, name: str, start: Molecules):
    progress(total + int(name), 2 * total, "conformers, free energies by GFN2-xTB")
    return characterise(gfn2_xtb, start, name)


def _named(found: Ensemble, settings: SearchSettings) -> list[tuple[str, Molecules, float]]:
    """Those that count, numbered by their shares."""
    shares = found.weights(settings.temperature).tolist()
    order = sorted(range(len(shares)), key=lambda k: -shares[k])[: settings.most]
    kept = [k for k in order if shares[k] >= settings.smallest_share or k == order[0]]
    return [(f"conformer {n}", found.conformers[k].molecule, shares[k]) for n, k in enumerate(kept, start=1)]
