"""Files of a ProGIC model with a prior of its indices: round trips, sizes, damage, cuts, other models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.codecs.indices import read_next, write_stages
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.codecs.stages import packed_size, write_stage
from arpc_codec.container import Codec, Container, Header, info, read, truncate
from arpc_codec.errors import ArpcError, FormatError, UsageError

Picture = Callable[..., np.ndarray]
ENTRIES = 128


def read_all(codec: ProgicCodec, segments: list[bytes], shape: tuple[int, int]) -> np.ndarray:
    found: list[np.ndarray] = []
    for segment in segments:
        found.append(read_next(codec.model, found, segment, shape))
    return np.stack(found)


def coded_stages(codec: ProgicCodec, data: bytes) -> list[bool]:
    container = read(data)
    shape = -(-container.header.height // 16), -(-container.header.width // 16)
    return [len(segment) < packed_size(shape, ENTRIES) for segment in container.segments]


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (96, 128), (200, 50), (20, 300), (256, 256)])
def test_every_size_comes_back(micro_coded: ProgicCodec, picture: Picture, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    encoded = micro_coded.encode(pixels)
    found, damaged = micro_coded.indices(read(encoded.data))
    assert damaged == ()
    assert found.dtype == np.int32
    assert np.array_equal(found, micro_coded.quantise(pixels[None], 3)[0])
    assert micro_coded.decode(read(encoded.data)).pixels.shape == (*size, 3)


def test_photos_become_smaller(micro_coded: ProgicCodec, picture: Picture) -> None:
    data = micro_coded.encode(picture(256, 256)).data
    assert coded_stages(micro_coded, data) == [True, True, True]
    described = info(data)
    assert described.payload_bytes < 0.95 * 3 * packed_size((16, 16), ENTRIES)


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20), st.floats(0.3, 12))
@settings(max_examples=60)
def test_any_indices_come_back_in_the_shorter_form(
    micro_coded: ProgicCodec, seed: int, rows: int, cols: int, power: float
) -> None:
    rng = np.random.default_rng(seed)
    made = (ENTRIES * rng.random((3, rows, cols)) ** power).astype(np.int64)
    segments = list(write_stages(micro_coded.model, made))
    assert np.array_equal(read_all(micro_coded, segments, (rows, cols)), made)
    assert all(len(segment) <= packed_size((rows, cols), ENTRIES) for segment in segments)


def test_unlikely_indices_are_packed(micro_coded: ProgicCodec) -> None:
    made = np.random.default_rng(0).integers(0, ENTRIES, (3, 20, 20))
    model = micro_coded.model
    for stage, segment in enumerate(write_stages(model, made)):
        assert segment == write_stage(made[stage], ENTRIES, model.fingerprint, stage)


def test_packed_stages_are_read_beside_coded_ones(micro_coded: ProgicCodec, picture: Picture) -> None:
    """A writer may pack a stage that could have been coded."""
    pixels = picture(96, 128)
    container = read(micro_coded.encode(pixels).data)
    wanted, _ = micro_coded.indices(container)
    packed = write_stage(wanted[1], ENTRIES, micro_coded.model.fingerprint, 1)
    mixed = Container(container.header, (container.segments[0], packed, container.segments[2]))
    found, damaged = micro_coded.indices(mixed)
    assert damaged == ()
    assert np.array_equal(found, wanted)


def test_fewer_stages_are_a_prefix(micro_coded: ProgicCodec, picture: Picture) -> None:
    pixels = picture(128, 96)
    whole = micro_coded.encode(pixels).data
    for stages in (1, 2):
        assert truncate(whole, scales=stages) == micro_coded.encode(pixels, scales=stages).data
    assert [step.scales for step in micro_coded.steps(read(whole))] == [1, 2, 3]


def test_target_bytes_choose_whole_stages(micro_coded: ProgicCodec, picture: Picture) -> None:
    pixels = picture(160, 160)
    sizes = [len(micro_coded.encode(pixels, scales=stages).data) for stages in (1, 2, 3)]
    for target in range(sizes[0], sizes[-1] + 9, 7):
        data = micro_coded.encode(pixels, target_bytes=target).data
        assert len(data) == max(size for size in sizes if size <= target)
    with pytest.raises(UsageError, match=f"one stage of this picture takes {sizes[0]}"):
        micro_coded.encode(pixels, target_bytes=sizes[0] - 1)


def test_batches_give_the_same_bytes(micro_coded: ProgicCodec, picture: Picture) -> None:
    pictures = [picture(70, 90, seed) for seed in range(3)]
    single = [micro_coded.encode(pixels).data for pixels in pictures]
    assert [encoded.data for encoded in micro_coded.encode_batch(pictures)] == single


# -- damage ------------------------------------------------------------------------------------------------------------


def changed(data: bytes, at: int, change: int) -> bytes:
    return data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]


def test_nearly_every_changed_byte_is_noticed(micro_coded: ProgicCodec, picture: Picture) -> None:
    """A check byte lets 1 of 256 pass; of these a third to a half are no string that an encoder writes."""
    data = micro_coded.encode(picture(128, 128)).data
    wanted = [step.pixels for step in micro_coded.steps(read(data))]
    tried = missed = 0
    for number, change in enumerate((0x01, 0x10, 0x80, 0xFF)):
        for at in range(number, len(data), 4):
            tried += 1
            try:
                container = read(changed(data, at, change), max_pixels=1 << 18)
                decoded = micro_coded.decode(container)
            except ArpcError:
                continue
            if not container.truncated and not decoded.damaged:
                missed += 1
            elif decoded.damaged:
                assert np.array_equal(decoded.pixels, wanted[decoded.scales - 1])
    assert tried >= 150
    assert missed <= 2


def test_other_strings_for_the_same_indices_are_damage(micro_coded: ProgicCodec, picture: Picture) -> None:
    container = read(micro_coded.encode(picture(128, 128), scales=1).data)
    stream, check = container.segments[0][:-1], container.segments[0][-1:]
    for other in (stream + b"\0", stream + b"\1"):
        with pytest.raises(FormatError, match="not what an encoder writes"):
            micro_coded.decode(Container(container.header, (other + check,)))


def test_other_lengths_are_damage(micro_coded: ProgicCodec, picture: Picture) -> None:
    container = read(micro_coded.encode(picture(64, 64), scales=1).data)
    (segment,) = container.segments
    for wrong in (b"", segment[:1], segment[1:], bytes(packed_size((4, 4), ENTRIES) + 1)):
        with pytest.raises(FormatError, match="first stage is damaged"):
            micro_coded.decode(Container(container.header, (wrong,)))


def test_a_model_without_a_prior_refuses_coded_stages(micro_coded: ProgicCodec, picture: Picture) -> None:
    bare = ProgicCodec(replace(micro_coded.model, prior=None))
    pixels = picture(128, 128)
    with pytest.raises(FormatError, match="do not hold"):
        bare.decode(read(micro_coded.encode(pixels).data))
    packed = bare.encode(pixels)
    wanted = bare.decode(read(packed.data)).pixels
    assert np.array_equal(micro_coded.decode(read(packed.data)).pixels, wanted)


def test_an_empty_stream_of_a_large_picture(micro_coded: ProgicCodec) -> None:
    """Zeros decode to something, but no encoder needs as few bytes for it: refused after a bounded effort."""
    header = Header(Codec.PROGIC, 103, 1600, 1600, 1)
    with pytest.raises(FormatError):
        micro_coded.decode(Container(header, (b"\0\0",)))
