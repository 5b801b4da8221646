"""Molecular dynamics and infrared spectra from machine-learned electron densities."""

__version__ = "0.1.0"
