"""What is kept of a picture until its streams are written, and the bytes that check them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from arpc_codec.codecs import coded
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.coded import Checks, CodedScale, Shelf, unchecked
from arpc_codec.container import read, truncate
from arpc_codec.errors import ArpcError


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
    assert on_shelf.stream(7, 3) == scale.stream(7, 3) != scale.stream(None, 3)
    assert scale.stream(7, 1) == scale.stream(7, 2)


def test_a_check_byte_covers_all_since_the_last_one() -> None:
    schedule = ((1, 1), (2, 2), (4, 4), (4, 4), (3, 1), (3, 1))
    tokens = [torch.rand(*size, 5) < 0.5 for size in schedule]

    def given(tokens: list[torch.Tensor]) -> list[int | None]:
        checks = Checks(bytes(32), schedule)
        return [checks.take(scale, bits) for scale, bits in enumerate(tokens)]

    found = given(tokens)
    assert [check is None for check in found] == [True, True, False, False, True, False]
    assert [unchecked(schedule[:count]) for count in range(7)] == [0, 0, 0, 3, 4, 4, 4]
    for scale, covered in enumerate((2, 2, 2, 3, 5, 5)):
        changed = [bits.clone() for bits in tokens]
        changed[scale][0, 0, 0] ^= True
        assert [a == b for a, b in zip(found, given(changed), strict=True)] == [n != covered for n in range(6)]
    # Of a scale of which phases are missing only what is coded counts.
    assert Checks(bytes(32), schedule[:4]).take(2, tokens[2], 3) is None
    assert unchecked(schedule[2:3], 3) == 0


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.thorough)])
def test_every_byte_of_a_small_file_is_covered(
    step: int, micro_planes: ArpcCodec, picture: Callable[..., np.ndarray]
) -> None:
    data = micro_planes.encode(picture(48, 64)).data
    clean, missed = micro_planes.decode(read(data)), 0
    assert not clean.unchecked
    for place in range(0, len(data), step):
        broken = bytearray(data)
        broken[place] ^= 0x55
        try:
            container = read(bytes(broken))
            decoded = micro_planes.decode(container)
        except ArpcError:
            continue
        noticed = decoded.damaged or container.truncated
        missed += not noticed and not np.array_equal(decoded.pixels, clean.pixels)
    # One of 256 passes a check byte.
    assert missed <= 3
    # Without the last scale there are some tokens that no byte checks, and who asks is told.
    shorter = micro_planes.decode(read(truncate(data, scales=clean.scales - 2)))
    assert shorter.unchecked == 1
