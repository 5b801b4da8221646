"""Fixtures for all tests."""

import signal

import pytest
import torch


@pytest.fixture(scope="module")
def double_precision():
    """Tensors made in this module are float64 unless they say otherwise."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pytest_configure(config):
    """A shell starts background jobs with Ctrl-C ignored, and so would be the commands that these tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
