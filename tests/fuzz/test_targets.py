"""The fuzz targets themselves: their seeds pass, and some thousand changed ones end well, without atheris."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    path = Path(__file__).with_name("targets.py")
    spec = importlib.util.spec_from_file_location("fuzz_targets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changed(seed: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes replaced, then perhaps a piece cut out or doubled."""
    data = bytearray(seed)
    for _ in range(int(rng.integers(1, 5))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    at, size = (int(rng.integers(len(data))) for _ in range(2))
    kind = int(rng.integers(4))
    if kind == 0:
        del data[at : at + size]
    elif kind == 1:
        data[at:at] = data[at : at + min(size, 16)]
    return bytes(data)


@pytest.mark.parametrize("name", ["container", "packets", "pictures", "alpha"])
def test_changed_seeds_end_well(name: str, targets: ModuleType) -> None:
    seeds = [seed for seed in targets.TARGETS[name][1]() if seed]
    taken = [targets.survive(name, seed) for seed in seeds]
    assert any(taken)
    rng = np.random.default_rng(0)
    for _ in range(1500):
        targets.survive(name, changed(seeds[int(rng.integers(len(seeds)))], rng))
    targets.survive(name, b"")
