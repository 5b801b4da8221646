"""Atomic units inside; the one place where a number changes its unit.

Each constant is the size of the named unit in atomic units (CODATA 2018), so that
``value * ANGSTROM`` reads "value, given in Angstrom" and ``value / ANGSTROM`` turns bohr into Angstrom.
`size` knows the units that other programs write, by their names.
"""

import re

ANGSTROM = 1.0 / 0.529177210903  # bohr
EV = 1.0 / 27.211386245988  # hartree
MEV = EV / 1000.0
DEBYE = 1.0 / 2.541746473  # e bohr
FEMTOSECOND = 1.0 / 0.024188843265857  # hbar / hartree
PICOSECOND = 1000.0 * FEMTOSECOND
KELVIN = 3.166811563e-6  # hartree, as k_B T
AMU = 1822.888486209  # electron masses
INVERSE_CM = 4.5563352529120e-6  # hartree, as h c nu

KJ_PER_MOL = 1.0 / 2625.4996394799  # hartree
EV_PER_ANGSTROM = EV / ANGSTROM  # hartree / bohr
MEV_PER_ANGSTROM = MEV / ANGSTROM
E_ANGSTROM = ANGSTROM  # dipole, e bohr
DEBYE_ANGSTROM = DEBYE * ANGSTROM  # quadrupole, e bohr^2
MILLIVOLT = MEV  # electrostatic potential, hartree / e
KM_PER_MOL = 1.0 / (974.880 * AMU)
"""IR intensity of one mode: ``|dmu/dQ|^2`` in e^2 / m_e divided by this is km/mol (974.880 km/mol per e^2/amu)."""

POLARIZABILITY = E_ANGSTROM * ANGSTROM / EV  # bohr^3, as e Angstrom^2 / V
RAMAN_ACTIVITY = ANGSTROM**4 / AMU
"""Of one mode: ``45 a'^2 + 7 g'^2`` in bohr^4 / m_e divided by this is A^4/amu."""

LENGTHS = {
    **dict.fromkeys(("angstrom", "angstroms", "ang", "å", "a"), ANGSTROM),
    **dict.fromkeys(("bohr", "bohrs", "bohrradius", "bohr_radius", "a0", "a_0", "au"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 10 * ANGSTROM),
    **dict.fromkeys(("pm", "picometer", "picometers"), ANGSTROM / 100),
}
ENERGIES = {
    **dict.fromkeys(("hartree", "hartrees", "ha", "eh", "e_h", "au"), 1.0),
    **dict.fromkeys(("ev", "electronvolt", "electronvolts", "electron_volt", "electron_volts"), EV),
    **dict.fromkeys(("mev", "millielectronvolt"), MEV),
    **dict.fromkeys(("rydberg", "rydbergs", "ry"), 0.5),
    **dict.fromkeys(("kcal", "kilocalorie", "kilocalories"), 4.184 * KJ_PER_MOL),
    **dict.fromkeys(("kj", "kilojoule", "kilojoules"), KJ_PER_MOL),
    **dict.fromkeys(("cm-1", "1/cm", "wavenumber", "wavenumbers"), INVERSE_CM),
}
"""By names in small letters; kcal and kJ are those per mole."""


def size(text: str, kind: str) -> float | None:
    """The unit ``text`` in atomic units, such as "kcal/mol/A" for ``kind`` "forces"; kinds: positions, energy, forces, dipole.

    None where it is no such unit. Order, signs and brackets do not matter: "eV/A", "eV A^-1" and "eV/(A)" are one.
    """
    plain = text.strip().lower().replace("\u212b", "å").replace("_per_", "/")
    plain = re.sub(r"a\.\s*u\.|atomic[ _-]units?|atomic", "au", plain)
    if kind == "energy" and re.sub(r"[\s^()]", "", plain) in ("cm-1", "1/cm"):
        return INVERSE_CM
    words = [word for word in re.findall(r"[a-zå_]+0?", plain) if word not in ("mol", "mole", "per", "_")]
    lengths, energies = ([table[w] for w in words if w in table] for table in (LENGTHS, ENERGIES))
    if words == ["au"]:
        return 1.0
    if kind in ("positions", "energy"):
        found = lengths if kind == "positions" else energies
        return found[0] if len(words) == len(found) == 1 else None
    if kind == "dipole":
        if words in (["d"], ["debye"], ["debyes"]):
            return DEBYE
        return lengths[0] if len(words) == 2 and words[0] in ("e", "electron", "elementary_charge") and len(lengths) == 1 else None
    return energies[0] / lengths[0] if len(words) == 2 and len(lengths) == len(energies) == 1 else None
