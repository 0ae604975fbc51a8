"""What is kept of a picture until its streams are written."""

import numpy as np
import pytest
import torch

from arpc_codec.codecs import coded
from arpc_codec.codecs.coded import CodedScale, Shelf


def test_a_shelf_keeps_copies_of_every_type_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "_SLAB", 64)
    rng, shelf = np.random.default_rng(0), Shelf()
    given = [
        rng.integers(0, 2, shape).astype(kind)
        for shape in ((3,), (2, 5, 7), (0,), (100,))
        for kind in (bool, np.uint16, np.float64)
    ]
    kept = [shelf.put(array) for array in given]
    for array in given:
        array[...] = 1 - array
    for array, copy in zip(given, kept, strict=True):
        assert (copy.dtype, copy.shape) == (array.dtype, array.shape)
        assert np.array_equal(copy, (1 - array).astype(array.dtype))


def test_small_arrays_share_a_slab() -> None:
    shelf = Shelf()
    first, second = shelf.put(np.ones(3, np.uint16)), shelf.put(np.ones(3))
    assert second.ctypes.data - first.ctypes.data == 8


def test_phases_of_a_coded_scale() -> None:
    calls = [(np.ones(n, bool), np.full(n, 30000, np.uint16)) for n in (4, 2, 3)]
    tokens = torch.ones(3, 3, 1, dtype=torch.bool)
    scale = CodedScale.of(2, [calls[:2], [], calls[2:]], tokens, guarded=False)
    assert scale.ends == (6, 6, 9)
    assert [scale.grows(phases) for phases in (1, 2, 3)] == [True, False, True]
    on_shelf = scale.on(Shelf())
    assert on_shelf.segment(bytes(32), 3) == scale.segment(bytes(32), 3)
    assert scale.segment(bytes(32), 1) == scale.segment(bytes(32), 2)
