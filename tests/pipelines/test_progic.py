"""The ProGIC pipeline: round trips, prefixes, target sizes, damage, windows, other ways of computing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import Codec, Container, Header, info, read, truncate, write
from arpc_codec.errors import ArpcError, FormatError, ModelError, UsageError
from arpc_codec.tokenizer.progic import ProgicEncoder

Picture = Callable[..., np.ndarray]


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (96, 128), (200, 50), (20, 300)])
def test_every_size_comes_back(micro_progic: ProgicCodec, picture: Picture, size: tuple[int, int]) -> None:
    encoded = micro_progic.encode(picture(*size))
    decoded = micro_progic.decode(read(encoded.data))
    assert decoded.pixels.shape == (*size, 3)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.scales == encoded.scales == encoded.total_scales == decoded.total_scales == decoded.sent == 3
    assert not decoded.damaged


def test_indices_arrive_and_their_sum_is_exact(micro_progic: ProgicCodec, picture: Picture) -> None:
    pixels = picture(80, 112)
    sent = micro_progic.quantise(pixels[None], 3)[0]
    found, damaged = micro_progic.indices(read(micro_progic.encode(pixels).data))
    assert damaged == ()
    assert np.array_equal(found, sent)
    codebooks = micro_progic.network.quantizer.codebooks.numpy()
    assert np.array_equal(codebooks, codebooks.astype(np.float16))
    z = (codebooks[0][found[0]] + codebooks[1][found[1]]) + codebooks[2][found[2]]
    decoded = micro_progic.network.quantizer.decode(torch.from_numpy(found)[None], 3)[0]
    assert np.array_equal(decoded.numpy(), z.transpose(2, 0, 1))


def test_a_file_read_as_the_specification_says(micro_progic: ProgicCodec, picture: Picture) -> None:
    """Header by the container, the rest bit by bit."""
    pixels = picture(40, 72)
    container = read(micro_progic.encode(pixels).data)
    sent = micro_progic.quantise(pixels[None], 3)[0]
    for segment, indices in zip(container.segments, sent, strict=True):
        bits = "".join(f"{byte:08b}" for byte in segment[:-1])
        count = 3 * 5
        assert len(bits) == -(-10 * count // 8) * 8
        assert [int(bits[10 * i : 10 * i + 10], 2) for i in range(count)] == indices.flatten().tolist()
        assert set(bits[10 * count :]) <= {"0"}


def test_one_stage_fits_a_packet(micro_progic: ProgicCodec, picture: Picture) -> None:
    """256x256 at one stage: 320 bytes of indices and at most 14 more."""
    assert len(micro_progic.encode(picture(256, 256), scales=1).data) <= 320 + 14 <= 360


def test_bytes_are_accounted_for(micro_progic: ProgicCodec, picture: Picture) -> None:
    described = info(micro_progic.encode(picture(256, 256)).data)
    assert described.codec == "progic"
    assert described.payload_bytes == 3 * 321
    assert described.overhead_bytes == 11 + 3 * 2


def test_fewer_stages_are_a_prefix(micro_progic: ProgicCodec, picture: Picture) -> None:
    pixels = picture(128, 96)
    whole = micro_progic.encode(pixels).data
    for stages in (1, 2):
        assert truncate(whole, scales=stages) == micro_progic.encode(pixels, scales=stages).data
    pictures = [micro_progic.decode(read(whole), scales=stages) for stages in (1, 2, 3)]
    for stages, decoded in enumerate(pictures, 1):
        shorter = micro_progic.decode(read(truncate(whole, scales=stages)))
        assert decoded.scales == shorter.scales == stages
        assert np.array_equal(decoded.pixels, shorter.pixels)
    assert not np.array_equal(pictures[0].pixels, pictures[1].pixels)


def test_steps_equal_decoding_each_prefix(micro_progic: ProgicCodec, picture: Picture) -> None:
    container = read(micro_progic.encode(picture(50, 70)).data)
    steps = list(micro_progic.steps(container))
    assert [step.scales for step in steps] == [1, 2, 3]
    for step in steps:
        assert np.array_equal(step.pixels, micro_progic.decode(container, scales=step.scales).pixels)


def test_later_stages_come_nearer_to_the_latent(micro_progic: ProgicCodec, picture: Picture) -> None:
    y = micro_progic.network.encoder(torch.from_numpy(picture(96, 96)).permute(2, 0, 1)[None] / 127.5 - 1)
    errors = [float((y - z).square().mean()) for z in micro_progic.network.quantizer(y).prefixes]
    assert errors[0] > errors[1] > errors[2]


def test_target_bytes_choose_whole_stages(micro_progic: ProgicCodec, picture: Picture) -> None:
    pixels = picture(64, 80)
    sizes = [len(micro_progic.encode(pixels, scales=stages).data) for stages in (1, 2, 3)]
    for target in range(sizes[0], sizes[-1] + 9):
        encoded = micro_progic.encode(pixels, target_bytes=target)
        assert len(encoded.data) == max(size for size in sizes if size <= target)
        assert encoded.scales == read(encoded.data).header.scales
    with pytest.raises(UsageError, match=f"too few: one stage of this picture takes {sizes[0]}"):
        micro_progic.encode(pixels, target_bytes=sizes[0] - 1)


def test_too_many_stages_are_clamped_with_a_note(micro_progic: ProgicCodec, picture: Picture) -> None:
    encoded = micro_progic.encode(picture(20, 20), scales=5)
    assert encoded.scales == 3
    assert encoded.notes == ("this picture has 3 stages; 5 were asked for, all 3 are sent",)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), float), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(micro_progic: ProgicCodec, bad: np.ndarray) -> None:
    with pytest.raises(UsageError):
        micro_progic.encode(bad)


def test_other_numbers_of_stages_are_refused(micro_progic: ProgicCodec, picture: Picture) -> None:
    data = micro_progic.encode(picture(16, 16)).data
    with pytest.raises(UsageError, match="at least one stage"):
        micro_progic.encode(picture(16, 16), scales=0)
    with pytest.raises(UsageError, match="at least one stage"):
        micro_progic.decode(read(data), scales=0)
    container = read(data)
    longer = Container(replace(container.header, scales=4), (*container.segments, container.segments[-1]))
    with pytest.raises(FormatError, match="4 stages"):
        micro_progic.decode(longer)


def test_files_of_other_models_and_codecs_are_refused(micro_progic: ProgicCodec, picture: Picture) -> None:
    container = read(micro_progic.encode(picture(16, 16)).data)
    with pytest.raises(ModelError):
        micro_progic.decode(Container(replace(container.header, model_id=7), container.segments))
    with pytest.raises(UsageError, match="arpc"):
        micro_progic.decode(Container(Header(Codec.ARPC, 102, 16, 16, 1), (b"x",)))


# -- cut and damaged files ---------------------------------------------------------------------------------------------


def changed(data: bytes, at: int, change: int) -> bytes:
    return data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]


def test_a_damaged_stage_is_found_and_those_before_it_are_kept(micro_progic: ProgicCodec, picture: Picture) -> None:
    data = micro_progic.encode(picture(48, 48)).data
    wanted = [step.pixels for step in micro_progic.steps(read(data))]
    for stage in (1, 2, 3):
        field = next(field for field in info(data).fields if field.name == f"stage {stage}")
        for at in range(field.offset, field.offset + field.length):
            container = read(changed(data, at, 0x40))
            if stage == 1:
                with pytest.raises(FormatError, match="first stage"):
                    micro_progic.decode(container)
                continue
            decoded = micro_progic.decode(container)
            assert decoded.damaged == (stage,)
            assert decoded.scales == stage - 1
            assert np.array_equal(decoded.pixels, wanted[stage - 2])
            assert [step.scales for step in micro_progic.steps(container)] == list(range(1, stage))


@pytest.mark.parametrize("name", ["micro_progic", "micro_coded"])
def test_a_cut_file_gives_its_whole_stages(name: str, request: pytest.FixtureRequest, picture: Picture) -> None:
    codec: ProgicCodec = request.getfixturevalue(name)
    data = codec.encode(picture(48, 48), caption="x").data
    wanted = [step.pixels for step in codec.steps(read(data))]
    used = 0
    for size in range(len(data)):
        try:
            container = read(data[:size])
            decoded = codec.decode(container)
        except FormatError:
            assert used == 0
            continue
        assert container.truncated
        assert decoded.scales in (used, used + 1)
        used = decoded.scales
        assert np.array_equal(decoded.pixels, wanted[used - 1])
    # The last byte is the check of the third stage.
    assert used == 2


@pytest.mark.parametrize("change", [0x01, 0x10, 0x80, 0xFF])
def test_no_changed_byte_goes_unnoticed(micro_progic: ProgicCodec, picture: Picture, change: int) -> None:
    data = micro_progic.encode(picture(33, 20)).data
    noticed = 0
    for at in range(len(data)):
        try:
            container = read(changed(data, at, change), max_pixels=1 << 18)
            noticed += container.truncated or bool(micro_progic.decode(container).damaged)
        except ArpcError:
            noticed += 1
    assert noticed == len(data)


def test_a_short_file_cannot_ask_for_much(micro_progic: ProgicCodec) -> None:
    """A picture of 2^28 pixels whose stage has a few bytes is refused before anything of its size is made."""
    header = Header(Codec.PROGIC, 102, 1 << 14, 1 << 14, 1)
    with pytest.raises(FormatError, match="do not hold"):
        micro_progic.decode(read(write(Container(header, (b"few",)))))


# -- the same in other ways --------------------------------------------------------------------------------------------


def test_windows_equal_one_pass(micro_progic: ProgicCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(170, 310)
    data = micro_progic.encode(pixels).data
    whole = micro_progic.decode(read(data)).pixels
    monkeypatch.setattr("arpc_codec.codecs.progic.WINDOW", 4)
    monkeypatch.setattr("arpc_codec.codecs.progic.BAND", 50)
    assert micro_progic.encode(pixels).data == data
    in_windows = micro_progic.decode(read(data)).pixels
    assert np.abs(in_windows.astype(int) - whole).max() <= 1


def test_a_batch_gives_the_same_bytes_and_pictures(micro_progic: ProgicCodec, picture: Picture) -> None:
    pictures = [picture(70, 90, seed) for seed in range(3)]
    single = [micro_progic.encode(pixels).data for pixels in pictures]
    assert [encoded.data for encoded in micro_progic.encode_batch(pictures)] == single
    # Each with another number of stages; the second one damaged.
    files = [truncate(single[0], scales=1), changed(single[1], len(single[1]) - 1, 1), single[2]]
    together = micro_progic.decode_batch([read(data) for data in files])
    assert [decoded.scales for decoded in together] == [1, 2, 3]
    assert [decoded.damaged for decoded in together] == [(), (3,), ()]
    for data, decoded in zip(files, together, strict=True):
        alone = micro_progic.decode(read(data))
        assert (alone.scales, alone.sent, alone.damaged) == (decoded.scales, decoded.sent, decoded.damaged)
        assert np.abs(alone.pixels.astype(int) - decoded.pixels).max() <= 1


def test_batches_have_one_size(micro_progic: ProgicCodec, picture: Picture) -> None:
    for pictures in ([picture(16, 16), picture(16, 17)], []):
        with pytest.raises(UsageError, match="one size"):
            micro_progic.encode_batch(pictures)
    files = [read(micro_progic.encode(picture(16, side)).data) for side in (16, 17)]
    with pytest.raises(UsageError, match="one size"):
        micro_progic.decode_batch(files)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def without_onednn() -> Iterator[None]:
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


WAYS = {
    "one thread": lambda: threads(1),
    "two threads": lambda: threads(2),
    "without oneDNN": without_onednn,
    "bfloat16 autocast around it": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("way", WAYS)
def test_other_ways_of_computing_decode_the_same_indices(micro_progic: ProgicCodec, picture: Picture, way: str) -> None:
    pixels = picture(130, 190)
    data = micro_progic.encode(pixels).data
    wanted, _ = micro_progic.indices(read(data))
    z = micro_progic.network.quantizer.decode(torch.from_numpy(wanted)[None], 3)
    plain = micro_progic.decode(read(data)).pixels
    with WAYS[way]():
        found, _ = micro_progic.indices(read(data))
        assert np.array_equal(found, wanted)
        assert torch.equal(micro_progic.network.quantizer.decode(torch.from_numpy(found)[None], 3), z)
        if "bfloat16" not in way:
            # Convolutions round otherwise, which moves an index only where two entries are as near as that.
            assert micro_progic.encode(pixels).data == data
            assert np.abs(micro_progic.decode(read(data)).pixels.astype(int) - plain).max() <= 1


# Prints what a file decodes to before the decoder network, which may round as it likes.
WORKER = """
import hashlib, pathlib, sys, torch
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read
codec = ProgicCodec.load("micro-progic")
indices, damaged = codec.indices(read(pathlib.Path(sys.argv[1]).read_bytes()))
z = codec.network.quantizer.decode(torch.from_numpy(indices)[None], len(indices))
print(damaged, hashlib.sha256(indices.astype("<u2").tobytes() + z.numpy().astype("<f4").tobytes()).hexdigest())
"""
OLD = {"DNNL_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "SSE4_2"}


def test_an_old_processor_decodes_the_same_latent(
    micro_home: Path, micro_progic: ProgicCodec, picture: Picture, tmp_path: Path
) -> None:
    path = tmp_path / "x.arpc"
    path.write_bytes(micro_progic.encode(picture(130, 190)).data)
    printed = set()
    for environment in ({}, OLD):
        command = [sys.executable, "-c", WORKER, str(path)]
        own = {**os.environ, "ARPC_HOME": str(micro_home), **environment}
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120, check=True)
        printed.add(done.stdout)
    assert len(printed) == 1
    assert printed.pop().startswith("() ")


def test_an_encoder_that_rounds_otherwise_still_makes_good_files(
    micro_progic: ProgicCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ProgicEncoder.forward

    def noisy(self: ProgicEncoder, x: torch.Tensor) -> torch.Tensor:
        y = plain(self, x)
        return y + 0.02 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))

    pixels = picture(96, 128)
    clean = micro_progic.encode(pixels).data
    monkeypatch.setattr(ProgicEncoder, "forward", noisy)
    sent, data = micro_progic.quantise(pixels[None], 3)[0], micro_progic.encode(pixels).data
    monkeypatch.undo()
    assert data != clean
    found, damaged = micro_progic.indices(read(data))
    assert not damaged
    assert np.array_equal(found, sent)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_and_cpu_read_each_other(micro_progic: ProgicCodec, picture: Picture) -> None:
    model = replace(micro_progic.model, network=deepcopy(micro_progic.network).to("cuda"))
    other = ProgicCodec(model, "cuda")
    for sender, receiver in ((micro_progic, other), (other, micro_progic)):
        data = sender.encode(picture(160, 128)).data
        pictures = [codec.decode(read(data)).pixels.astype(int) for codec in (sender, receiver)]
        assert np.abs(pictures[0] - pictures[1]).max() <= 2
