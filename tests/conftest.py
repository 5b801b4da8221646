"""Fixtures for all tests."""

import pytest
import torch


@pytest.fixture(scope="module")
def double_precision():
    """Tensors made in this module are float64 unless they say otherwise."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
