"""Atomic units inside; the one place where a number changes its unit.

Each constant is the size of the named unit in atomic units (CODATA 2018), so that
``value * ANGSTROM`` reads "value, given in Angstrom" and ``value / ANGSTROM`` turns bohr into Angstrom.
"""

ANGSTROM = 1.0 / 0.529177210903  # bohr
EV = 1.0 / 27.211386245988  # hartree
MEV = EV / 1000.0
DEBYE = 1.0 / 2.541746473  # e bohr
FEMTOSECOND = 1.0 / 0.024188843265857  # hbar / hartree
PICOSECOND = 1000.0 * FEMTOSECOND
KELVIN = 3.166811563e-6  # hartree, as k_B T
AMU = 1822.888486209  # electron masses
INVERSE_CM = 4.5563352529120e-6  # hartree, as h c nu

EV_PER_ANGSTROM = EV / ANGSTROM  # hartree / bohr
MEV_PER_ANGSTROM = MEV / ANGSTROM
E_ANGSTROM = ANGSTROM  # dipole, e bohr
DEBYE_ANGSTROM = DEBYE * ANGSTROM  # quadrupole, e bohr^2
MILLIVOLT = MEV  # electrostatic potential, hartree / e
KM_PER_MOL = 1.0 / (974.880 * AMU)
"""IR intensity of one mode: ``|dmu/dQ|^2`` in e^2 / m_e divided by this is km/mol (974.880 km/mol per e^2/amu)."""
