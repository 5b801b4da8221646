"""What benchmarks/levels.py finds, beside what was measured: resonant states mixed, lines assigned, errors and intensities as tables."""

from __future__ import annotations

import numpy as np
from experiment import Table
from scipy.optimize import linear_sum_assignment


def mixed(fundamentals: np.ndarray, found: list[dict]) -> np.ndarray:
    """Fundamentals after the states in resonance have mixed, from the deperturbed ones, in cm^-1.

    ``nu_i`` and ``nu_i + nu_j + (1 + delta_ij) chi_ij`` on the diagonal of a matrix, ``phi_iik / 4`` and ``phi_ijk / 2 sqrt(2)`` beside it
    (J. M. L. Martin et al., J. Chem. Phys. 103, 2589 (1995)); a fundamental is the state that has most of it.
    """
    twos = {tuple(r["lower"]): r["chi_per_cm"] for r in found}
    energies = [*fundamentals, *(fundamentals[i] + fundamentals[j] + (1 + (i == j)) * chi for (i, j), chi in twos.items())]
    matrix = np.diag(energies)
    for r in found:
        i, j = r["lower"]
        where = len(fundamentals) + list(twos).index((i, j))
        matrix[where, r["upper"]] = matrix[r["upper"], where] = r["coupling_per_cm"] / (4 if i == j else 8**0.5)
    values, vectors = np.linalg.eigh(matrix)
    rows, columns = linear_sum_assignment(-(vectors[: len(fundamentals)] ** 2))
    return values[columns]


def keys(row: dict) -> list[tuple]:
    """Of each mode its symmetry and its place among those of that symmetry: the same motion has the same key at every level."""
    kinds = [tuple(kind) for kind in row["characters"]]
    return [(kind, kinds[:k].count(kind)) for k, kind in enumerate(kinds)]


def transferred(row: dict, donor: dict) -> dict:
    """A ``row`` without VPT2 with the shifts, couplings and soft modes of the ``donor``'s."""
    own, other = keys(row), keys(donor)
    number = {k: own.index(key) for k, key in enumerate(other)}
    shifts = np.subtract(donor["fundamentals_per_cm"], donor["harmonic_per_cm"])
    fundamentals = np.array(row["harmonic_per_cm"]) + shifts[[other.index(key) for key in own]]
    found = [{**r, "upper": number[r["upper"]], "lower": sorted(number[k] for k in r["lower"])} for r in donor["resonances"]]
    return {
        **row, "fundamentals_per_cm": fundamentals.tolist(), "soft": [number[k] for k in donor["soft"]], "resonances": found,
        "donor": donor["level"],
    }  # fmt: skip


def lines(row: dict, molecule: dict) -> list[dict]:
    """The modes that are not soft, each with what was measured of it: in ascending order within each symmetry species."""
    kinds = [tuple(kind) for kind in row["characters"]]
    of_kind = {kind: [k for k, other in enumerate(kinds) if other == kind and k not in row["soft"]] for kind in dict.fromkeys(kinds)}
    whole = (1,) * len(kinds[0])
    groups = [of_kind.pop(whole), *(group for group in of_kind.values() if group)]
    species = list(molecule["fundamentals"].items())
    harmonic, mix = np.array(row["harmonic_per_cm"]), mixed(np.array(row["fundamentals_per_cm"]), row["resonances"])

    def distance(group: list[int], measured: list[float]) -> float:
        return float(np.abs(harmonic[group] - measured).sum()) if len(group) == len(measured) else 1e9

    cost = np.array([[distance(group, measured) for _, measured in species] for group in groups])
    cost[0, 1:] = cost[1:, 0] = 1e9
    found = []
    for g, s in zip(*linear_sum_assignment(cost)):
        name, measured = species[s]
        strong = molecule.get("intensities", {}).get(name, [None] * len(measured))
        for k, value, strength in zip(groups[g], measured, strong, strict=True):
            resonant = any(k == r["upper"] for r in row["resonances"])
            calculated = {"harmonic": harmonic[k], "vpt2": mix[k], "resonant": resonant, "km_per_mol": row["km_per_mol"][k]}
            found.append({"species": name, "measured": value, "strength": strength, **calculated})
    return sorted(found, key=lambda line: line["measured"])


def completed(rows: list[dict], name: str) -> dict[str, dict]:
    """Rows of a molecule by level; those without VPT2 with the shifts of B3LYP, or of the first level that has some."""
    mine = {row["level"]: row for row in rows if row["molecule"] == name}
    whole = {level: row for level, row in mine.items() if "fundamentals_per_cm" in row}
    donor = whole.get("B3LYP/aug-cc-pvdz") or next(iter(whole.values()), None)
    return {level: row if level in whole or donor is None else transferred(row, donor) for level, row in mine.items()}


def tables(rows: list[dict], molecules: dict[str, dict]) -> dict[str, Table]:
    """Errors by molecule, every line, intensities, cost."""
    found = {
        name: {level: (row, lines(row, molecule)) for level, row in completed(rows, name).items() if "fundamentals_per_cm" in row}
        for name, molecule in molecules.items()
    }
    found = {name: known for name, known in found.items() if known}
    return {"errors": errors(found), "lines": every_line(found), "intensities": strengths(found), "cost": costs(rows)}


def errors(found: dict) -> Table:
    """Mean absolute errors against the measured fundamentals: harmonic and VPT2, by region, with and without the resonant lines."""
    everywhere = [level for level in next(iter(found.values())) if all(level in known for known in found.values())]
    pooled: dict[str, list[dict]] = {level: [] for level in everywhere}
    body = []
    for name, known in found.items():
        resonant = {k for _, some in known.values() for k, line in enumerate(some) if line["resonant"]}
        for level, (row, some) in known.items():
            told = [{**line, "clean": k not in resonant} for k, line in enumerate(some)]
            if level in pooled:
                pooled[level] += told
            body.append([name, level, *means(told), f"shifts of {row['donor']}" if "donor" in row else ""])
    body += [["all", level, *means(told), ""] for level, told in pooled.items()]
    columns = ["lines", "harmonic", "VPT2", "below 2000", "above", "without resonant lines", "weighted by intensity", "mean signed", ""]
    return Table(["molecule", "level", *columns], body)


def means(some: list[dict]) -> list[str]:
    """Of `errors`."""
    harmonic, vpt2 = (np.array([line[key] - line["measured"] for line in some]) for key in ("harmonic", "vpt2"))
    low, clean = np.array([line["measured"] < 2000 for line in some]), np.array([line["clean"] for line in some])
    parts = [harmonic, vpt2, vpt2[low], vpt2[~low], vpt2[clean]]
    bright = np.average(np.abs(vpt2), weights=[line["km_per_mol"] for line in some])
    return [str(len(some)), *(f"{np.abs(part).mean():.0f}" if len(part) else "-" for part in parts), f"{bright:.0f}", f"{vpt2.mean():+.0f}"]


def every_line(found: dict) -> Table:
    """Measured and VPT2 fundamentals, resonant lines with a star."""
    levels_ = list(dict.fromkeys(level for known in found.values() for level in known))
    body = []
    for name, known in found.items():
        first = next(iter(known.values()))[1]
        for k, line in enumerate(first):
            cells = [
                f"{known[level][1][k]['vpt2']:.0f}" + "*" * known[level][1][k]["resonant"] if level in known else "-" for level in levels_
            ]
            body.append([name, line["species"], f"{line['measured']:.0f}", *cells])
    return Table(["molecule", "species", "measured", *levels_], body)


def strengths(found: dict) -> Table:
    """Harmonic and measured intensities, km/mol."""
    levels_ = list(dict.fromkeys(level for known in found.values() for level in known))
    body = []
    for name, known in found.items():
        for k, line in enumerate(next(iter(known.values()))[1]):
            if line["strength"] is not None:
                cells = [f"{known[level][1][k]['km_per_mol']:.1f}" if level in known else "-" for level in levels_]
                body.append([name, f"{line['measured']:.0f}", str(line["strength"]), *cells])
    return Table(["molecule", "cm^-1", "measured", *levels_], body)


def costs(rows: list[dict]) -> Table:
    """CPU seconds."""
    columns = ("gradients", "cycles", "scf_s", "gradient_s")
    body = [[row["molecule"], row["level"], *(str(row["cost"][key]) for key in columns)] for row in rows]
    return Table(["molecule", "level", "gradients", "cycles", "SCF, s", "gradient, s"], body)
