"""The arpc pipeline: round trips, progression, damage, tiles, target size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.codecs.tiles import OVERLAP, TILE, blend, spans, tiles
from arpc_codec.container import Container, read, truncate, write
from arpc_codec.errors import FormatError, ModelError, UsageError
from arpc_codec.scales import STRIDE

Picture = Callable[..., np.ndarray]


@pytest.fixture(params=["micro", "micro_planes"])
def micro(request: pytest.FixtureRequest) -> ArpcCodec:
    """Tokens of sign bits, and of integers in steps."""
    codec: ArpcCodec = request.getfixturevalue(request.param)
    return codec


def coded_sum(codec: ArpcCodec, h: torch.Tensor) -> np.ndarray:
    """Sum of the codes of the tokens that the encoder makes of a latent of one tile."""
    plan = codec.layout(*(STRIDE * side for side in h.shape[-2:]))
    with torch.inference_mode():
        scales = codec.encode_tile(h, plan.tiles[0], plan, codec.priors.own(plan), len(plan.schedule))
    z, quantizer = torch.zeros_like(h, dtype=torch.float64), codec.tokenizer.quantizer
    for scale in scales:
        code = quantizer.code(torch.from_numpy(scale.tokens_hwd)[None], scale.scale, plan.schedule)
        z = z + quantizer.resample(code.detach(), plan.schedule[-1])
    if not codec.tokenizer.config.trade:
        nearest = quantizer(h, plan.schedule).prefixes[-1]
        assert np.allclose(z.numpy(), nearest.numpy(), atol=1e-5)
    return z.numpy()


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
    schedule = micro.tokenizer.schedule(*h.shape[-2:])
    z = micro.latent(read(micro.encode(pixels).data), len(schedule), Filling("none"))
    assert np.allclose(z.numpy(), coded_sum(micro, h), atol=1e-5)


def test_an_encoder_that_rounds_otherwise_still_makes_good_files(
    micro: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise in the convolutions of the sender changes which tokens it picks, never whether they arrive."""
    encoder = type(micro.tokenizer.encoder)
    plain = encoder.forward

    def noisy(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = plain(self, x)
        return y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))

    pixels = picture(96, 128)
    clean = micro.encode(pixels).data
    monkeypatch.setattr(encoder, "forward", noisy)
    h = micro.analyse(pixels)
    data = micro.encode(pixels).data
    monkeypatch.undo()
    assert data != clean
    z = micro.latent(read(data), len(micro.tokenizer.schedule(*h.shape[-2:])), Filling("none"))
    assert np.allclose(z.numpy(), coded_sum(micro, h), atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_and_cpu_read_each_other(micro_home: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    codecs = {device: ArpcCodec.load("micro", device) for device in ("cpu", "cuda")}
    for sender, receiver in (("cpu", "cuda"), ("cuda", "cpu")):
        container = read(codecs[sender].encode(picture(160, 128), scales=5).data)
        latents = [codecs[device].latent(container, 5, Filling("argmax")) for device in (sender, receiver)]
        assert torch.equal(*latents)


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
    first, second = (micro.decode(container, filling=Filling(fill, seed=5)).pixels for _ in range(2))
    assert np.array_equal(first, second)


def test_seed_changes_only_samples(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(96, 96), scales=2).data)
    sampled = [micro.decode(container, filling=Filling("sample", seed=seed)).pixels for seed in (0, 1)]
    likeliest = [micro.decode(container, filling=Filling("argmax", seed=seed)).pixels for seed in (0, 1)]
    assert not np.array_equal(*sampled)
    assert np.array_equal(*likeliest)


def test_steps_equal_decoding_each_prefix(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(96, 64)).data)
    steps = list(micro.steps(container))
    assert [step.scales for step in steps] == list(range(1, len(container.segments) + 1))
    for k, step in enumerate(steps, 1):
        assert np.array_equal(step.pixels, micro.decode(container, scales=k).pixels)


@pytest.mark.parametrize("step", [69, pytest.param(23, marks=pytest.mark.thorough)])
def test_target_bytes_is_kept_and_used(step: int, micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(160, 160)
    sizes = [len(micro.encode(pixels, scales=k).data) for k in range(1, micro.encode(pixels).total_scales + 1)]
    for target in range(sizes[1], sizes[-1] + 40, step):
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
        before = micro.decode(container, scales=scale).pixels
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
                assert np.array_equal(result.pixels, before)
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
    with pytest.raises(FormatError, match="do not fit"):
        micro.decode(Container(header, container.segments + (b"",) * (12 - len(container.segments))))


@pytest.mark.parametrize("size", [(32, 32), (16, 960)])
def test_wrong_tile_flag_is_damage(micro: ArpcCodec, picture: Picture, size: tuple[int, int]) -> None:
    container = read(micro.encode(picture(*size), scales=1).data)
    header = replace(container.header, tiled=not container.header.tiled)
    with pytest.raises(FormatError, match="do not fit"):
        micro.decode(replace(container, header=header))


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


def test_tiles_with_broken_lengths_are_a_damaged_scale(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(16, 960), scales=3).data)
    assert container.header.tiled
    before, last = micro.decode(container, scales=2).pixels, container.segments[2]
    for broken in (last + b"\0", b"\xff" + last[1:], last[:-1]):
        result = micro.decode(replace(container, segments=(*container.segments[:2], broken)))
        assert result.damaged == (3,)
        assert np.array_equal(result.pixels, before)


def test_blended_tiles_of_one_latent_give_it_back() -> None:
    latent = torch.randn(1, 16, 60, 130, generator=torch.Generator().manual_seed(0))
    parts = [(t, latent[..., t.top : t.top + t.height, t.left : t.left + t.width]) for t in tiles(*latent.shape[-2:])]
    assert len(parts) > 4
    assert torch.allclose(blend(iter(parts), (60, 130)), latent, atol=1e-6)


def test_blend_has_no_step_at_a_tile_edge() -> None:
    """Tiles that disagree by 1 meet in a ramp over the overlap, not in a jump."""
    layout = tiles(16, 90)
    parts = [(t, torch.full((1, 1, t.height, t.width), float(i % 2))) for i, t in enumerate(layout)]
    row = blend(iter(parts), (16, 90))[0, 0, 8]
    assert float((row[1:] - row[:-1]).abs().max()) <= 0.25


def test_windows_equal_one_pass(micro: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(256, 640)
    whole = micro.analyse(pixels)
    monkeypatch.setattr("arpc_codec.codecs.arpc.WINDOW", 8)
    assert np.allclose(ArpcCodec(micro.bundle).analyse(pixels).numpy(), whole.numpy(), atol=1e-5)


@pytest.mark.parametrize("length", [1, TILE, TILE + 1, 64, 100, 1000])
def test_spans_cover_and_overlap(length: int) -> None:
    parts = spans(length)
    assert parts[0][0] == 0
    assert sum(parts[-1]) == length
    assert all(size <= TILE for _, size in parts)
    assert all(a + n - b >= OVERLAP for (a, n), (b, _) in pairwise(parts))
