"""ProGIC files with holes: what is decoded from lost packets, damage, prefixes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.codecs.holes import conceal, latent, stages_told
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.codecs.stages import ABSENT, describe_lost, pack_stage
from arpc_codec.container import Container, read, truncate, write
from arpc_codec.entropy import crc8, crc8_start, packed_checkpoint
from arpc_codec.errors import FormatError
from arpc_codec.packets import join, sort_out, split

Picture = Callable[..., np.ndarray]


def lose(data: bytes, share: float, seed: int, redundancy: float = 0.0) -> bytes:
    """What is joined of the packets of a file that arrive."""
    packets = split(data, 100, redundancy=redundancy)
    draws = np.random.default_rng(seed).random(len(packets))
    return join(sort_out([packet for packet, draw in zip(packets, draws, strict=True) if draw >= share])[0]).data


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("redundancy", [0.0, 0.1])
def test_no_hole_is_left_with_a_fifth_of_the_packets_lost(
    micro_progic: ProgicCodec, picture: Picture, seed: int, redundancy: float
) -> None:
    pixels = picture(200, 300, seed)
    whole = read(micro_progic.encode(pixels).data)
    container = read(lose(micro_progic.encode(pixels).data, 0.2, seed, redundancy))
    assert container.header.holes
    indices, damaged = micro_progic.indices(container)
    sent, _ = micro_progic.indices(whole)
    depth = (indices != ABSENT).sum(0)
    assert damaged == ()
    assert np.array_equal(indices[indices != ABSENT], sent[: len(indices)][indices != ABSENT])
    quantizer = micro_progic.network.quantizer
    z = latent(quantizer, torch.from_numpy(indices), torch.from_numpy(depth))
    y = quantizer.decode(torch.from_numpy(sent)[None], 3)
    # What is there in all stages is exact; what is not is nearer than nothing is, hole by hole in the mean.
    full = torch.from_numpy(depth == 3)
    assert torch.equal(z[..., full], y[..., full])
    assert (z[..., ~full] - y[..., ~full]).square().mean() < y[..., ~full].square().mean()
    assert bool((z != 0).any(1).all())
    decoded = micro_progic.decode(container)
    assert decoded.pixels.shape == pixels.shape
    assert decoded.lost == tuple(int((depth < stage).sum()) for stage in (1, 2, 3))
    original = micro_progic.decode(whole)
    assert original.lost == (0, 0, 0)
    # A picture with holes would differ more than two different ones of the same colours.
    assert np.abs(decoded.pixels.astype(float) - original.pixels).mean() < 40


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.floats(0, 1))
def test_concealment_of_something_flat_is_flat(rows: int, cols: int, seed: int, loss: float) -> None:
    known = np.random.default_rng(seed).random((rows, cols)) >= loss
    known.flat[seed % known.size] = True
    known_b1hw = torch.from_numpy(known)[None, None]
    z = torch.where(known_b1hw, torch.tensor([3.0, -7.0])[None, :, None, None], float("nan")).nan_to_num(1e6)
    filled = conceal(z, known_b1hw)
    assert torch.allclose(filled, torch.tensor([3.0, -7.0])[None, :, None, None].expand_as(filled), rtol=1e-4)


def test_concealment_follows_a_slope() -> None:
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    slope = (2 * x - 3 * y)[None, None]
    known = (x + 2 * y) % 5 != 1
    # At the border, where neighbours lie to one side only, less exactly.
    inside = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(conceal(slope, known[None, None])[inside], slope[inside], atol=1e-4)


def test_a_large_hole_is_filled_in_little_time() -> None:
    z = torch.zeros(1, 16, 400, 500)
    z[..., 7, 9] = 4.0
    known = torch.zeros(1, 1, 400, 500, dtype=torch.bool)
    known[..., 7, 9] = True
    assert torch.allclose(conceal(z, known), torch.tensor(4.0))


def test_stages_told() -> None:
    assert stages_told(np.array([[0, 0, 0, 1]])) == 1
    assert stages_told(np.array([[0, 5, 5, 1]])) == 4


def test_shorter_prefixes_of_files_with_holes(micro_progic: ProgicCodec, picture: Picture) -> None:
    data = lose(micro_progic.encode(picture(200, 300)).data, 0.3, 1, redundancy=0.5)
    steps = list(micro_progic.steps(read(data)))
    assert [step.scales for step in steps] == [1, 2, 3]
    for stages, step in enumerate(steps, 1):
        assert np.array_equal(step.pixels, micro_progic.decode(read(data), scales=stages).pixels)
        assert np.array_equal(step.pixels, micro_progic.decode(read(truncate(data, scales=stages))).pixels)
        assert len(step.lost) == stages
    assert micro_progic.decode(read(data[:-1])).scales == 2


def test_batches_may_mix_files_with_and_without_holes(micro_progic: ProgicCodec, picture: Picture) -> None:
    data = micro_progic.encode(picture(100, 90)).data
    containers = [read(data), read(lose(data, 0.4, 3))]
    for alone, together in zip(
        map(micro_progic.decode, containers), micro_progic.decode_batch(containers), strict=True
    ):
        assert alone.lost == together.lost
        assert np.abs(alone.pixels.astype(int) - together.pixels).max() <= 1


def test_damage_in_a_file_with_holes(micro_progic: ProgicCodec, picture: Picture) -> None:
    data = lose(micro_progic.encode(picture(100, 90)).data, 0.4, 3)
    container = read(data)
    for stage, segment in enumerate(container.segments):
        for at in range(len(segment)):
            spoilt = segment[:at] + bytes([segment[at] ^ 0x10]) + segment[at + 1 :]
            segments = (*container.segments[:stage], spoilt, *container.segments[stage + 1 :])
            if not stage:
                with pytest.raises(FormatError, match="first stage"):
                    micro_progic.indices(replace(container, segments=segments))
            else:
                assert micro_progic.indices(replace(container, segments=segments))[1] == (stage + 1,)


def test_maps_that_no_joiner_writes(micro_progic: ProgicCodec) -> None:
    """Stages without a position, or with one that the stage before lacks."""
    fingerprint = micro_progic.model.fingerprint

    def file(*stages: list[int]) -> Container:
        segments = []
        for stage, indices in enumerate(stages):
            packed = pack_stage(np.array([indices], np.int32), 10, holes=True)
            segments.append(packed + bytes([packed_checkpoint(fingerprint, stage, packed)]))
        header = replace(
            read(micro_progic.encode(np.zeros((16, 64, 3), np.uint8)).data).header, scales=len(stages), holes=True
        )
        return read(write(Container(header, tuple(segments))))

    good, damaged = micro_progic.indices(file([1, 2, ABSENT, 3], [4, ABSENT, ABSENT, 999]))
    assert damaged == ()
    assert good[1].tolist() == [[4, ABSENT, ABSENT, 999]]
    assert micro_progic.indices(file([1, 2, ABSENT, 3], [4, ABSENT, 5, ABSENT]))[1] == (2,)
    assert micro_progic.indices(file([1, 2, ABSENT, 3], [ABSENT] * 4))[1] == (2,)
    assert micro_progic.indices(file([1, 2, ABSENT, 3], [1000, 1, ABSENT, 3]))[1] == (2,)
    with pytest.raises(FormatError, match="no position"):
        micro_progic.indices(file([ABSENT] * 4))


def test_texts() -> None:
    assert describe_lost((0, 0), 9) == ""
    assert describe_lost((1, 2, 2, 3), 9) == "of 9 positions stage 1 lacks 1, stages 2-3 lack 2, stage 4 lacks 3"
    assert describe_lost((0, 4, 4), 9) == "of 9 positions stages 2-3 lack 4"


@given(st.integers(0, 255), st.binary(max_size=50))
def test_the_start_of_a_check_is_found(start: int, data: bytes) -> None:
    assert crc8_start(crc8(start, data), data) == start
