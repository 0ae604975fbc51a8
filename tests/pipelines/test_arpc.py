"""The arpc pipeline: round trips, progression, damage, tiles, target size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.tiles import HALO, OVERLAP, TILE, spans
from arpc_codec.container import Container, read, truncate, write
from arpc_codec.errors import FormatError, ModelError, UsageError
from arpc_codec.scales import scale_schedule

Picture = Callable[..., np.ndarray]


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (96, 128), (200, 50), (20, 300)])
def test_every_size_comes_back(micro: ArpcCodec, picture: Picture, size: tuple[int, int]) -> None:
    encoded = micro.encode(picture(*size))
    decoded = micro.decode(read(encoded.data))
    assert decoded.pixels.shape == (*size, 3)
    assert decoded.scales == encoded.scales == encoded.total_scales
    assert not decoded.damaged


def test_decoder_gets_the_tokens_that_were_encoded(micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(160, 128)
    h = micro.analyse(pixels)
    schedule = scale_schedule(*h.shape[-2:])
    expected = micro.tokenizer.quantizer(h, schedule).prefixes[-1]
    z = micro.latent(read(micro.encode(pixels).data), len(schedule), "none", 0)
    assert np.allclose(z.numpy(), expected.numpy(), atol=1e-5)


def test_same_input_same_bytes(micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(96, 96)
    assert micro.encode(pixels).data == micro.encode(pixels).data


def test_fewer_scales_are_a_prefix(micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(128, 96)
    whole = micro.encode(pixels)
    for k in range(1, whole.total_scales):
        assert truncate(whole.data, scales=k) == micro.encode(pixels, scales=k).data


def test_too_many_scales_are_clamped_with_a_note(micro: ArpcCodec, picture: Picture) -> None:
    encoded = micro.encode(picture(64, 64), scales=14)
    assert encoded.scales == encoded.total_scales < 14
    assert "14" in encoded.notes[0]


@pytest.mark.parametrize("fill", ["argmax", "sample", "mean", "none"])
def test_fills_are_repeatable_and_complete(micro: ArpcCodec, picture: Picture, fill: str) -> None:
    container = read(micro.encode(picture(96, 96), scales=3).data)
    first, second = (micro.decode(container, fill=fill, seed=5).pixels for _ in range(2))
    assert np.array_equal(first, second)


def test_seed_changes_only_samples(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(96, 96), scales=2).data)
    sampled = [micro.decode(container, fill="sample", seed=seed).pixels for seed in (0, 1)]
    likeliest = [micro.decode(container, fill="argmax", seed=seed).pixels for seed in (0, 1)]
    assert not np.array_equal(*sampled)
    assert np.array_equal(*likeliest)


def test_steps_equal_decoding_each_prefix(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(96, 64)).data)
    steps = list(micro.steps(container))
    assert [step.scales for step in steps] == list(range(1, len(container.segments) + 1))
    for k, step in enumerate(steps, 1):
        assert np.array_equal(step.pixels, micro.decode(container, scales=k).pixels)


def test_target_bytes_is_kept_and_used(micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(160, 160)
    sizes = [len(micro.encode(pixels, scales=k).data) for k in range(1, micro.encode(pixels).total_scales + 1)]
    for target in range(sizes[1], sizes[-1] + 40, 23):
        encoded = micro.encode(pixels, target_bytes=target)
        assert len(encoded.data) <= target
        assert len(encoded.data) >= max(size for size in sizes if size <= target)
        assert micro.decode(read(encoded.data)).scales == encoded.scales


def test_part_of_a_scale_uses_room_that_a_whole_one_cannot(micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(160, 160)
    whole = micro.encode(pixels)
    target = (len(whole.data) + len(micro.encode(pixels, scales=whole.scales - 1).data)) // 2 + 20
    part = read(micro.encode(pixels, target_bytes=target).data)
    assert part.header.phases in (1, 2, 3)
    assert part.header.scales == whole.scales


def test_impossible_target_is_refused(micro: ArpcCodec, picture: Picture) -> None:
    with pytest.raises(UsageError, match="too few"):
        micro.encode(picture(64, 64), target_bytes=5)


def test_damaged_scale_is_found_and_the_good_ones_are_kept(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(160, 160)).data)
    found = 0
    for scale in range(5, len(container.segments)):
        for flip in range(8):
            segments = list(container.segments)
            damaged = bytearray(segments[scale])
            damaged[len(damaged) // 2] ^= 1 << flip
            segments[scale] = bytes(damaged)
            broken = Container(container.header, tuple(segments), container.chunks)
            result = micro.decode(broken)
            if result.damaged:
                found += 1
                assert result.damaged == (scale + 1,)
                assert np.array_equal(result.pixels, micro.decode(container, scales=scale).pixels)
    # A check byte misses one damage in 256.
    assert found >= 8 * (len(container.segments) - 5) - 2


def test_file_of_another_model_is_refused(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(64, 64)).data)
    other = Container(replace(container.header, model_id=101), container.segments)
    with pytest.raises(ModelError):
        micro.decode(other)


def test_wrong_scale_count_is_damage(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(32, 32)).data)
    header = replace(container.header, scales=12)
    with pytest.raises(FormatError):
        micro.decode(Container(header, container.segments + (b"",) * (12 - len(container.segments))))


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), float), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(micro: ArpcCodec, picture: Picture, bad: np.ndarray) -> None:
    with pytest.raises(UsageError):
        micro.encode(bad)


def test_large_picture_is_tiled_and_whole(micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(400, 1000)
    encoded = micro.encode(pixels)
    container = read(encoded.data)
    assert container.header.tiled
    decoded = micro.decode(container)
    assert decoded.pixels.shape == pixels.shape
    assert write(container) == encoded.data


def test_windows_equal_one_pass(micro: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(256, 640)
    whole = micro.analyse(pixels)
    monkeypatch.setattr("arpc_codec.codecs.tiles.WINDOW", 8)
    monkeypatch.setattr("arpc_codec.codecs.tiles.HALO", 8)
    assert np.allclose(micro.analyse(pixels).numpy(), whole.numpy(), atol=1e-5)
    assert HALO >= 8


@pytest.mark.parametrize("length", [1, TILE, TILE + 1, 64, 100, 1000])
def test_spans_cover_and_overlap(length: int) -> None:
    parts = spans(length)
    assert parts[0][0] == 0
    assert sum(parts[-1]) == length
    assert all(size <= TILE for _, size in parts)
    assert all(a + n - b >= OVERLAP for (a, n), (b, _) in pairwise(parts))
