"""The lossless payload: any samples come back, nothing grows much, damage is found and stays in its tile."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.codecs.lossless import decode, encode, groups, tiles
from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.container.varint import encode_varint
from arpc_codec.errors import FormatError
from arpc_codec.exact.pixelstate import export_pixel
from arpc_codec.prior.adapter import shapes, write_adapter
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.pixel import PixelPrior


def coder(channels: int) -> PixelCoder:
    torch.manual_seed(0)
    prior = PixelPrior(PixelConfig(channels, width=8, depth=1, head=8, mixtures=2)).double()
    return PixelCoder(prior.config, export_pixel(prior))


CODERS = {channels: coder(channels) for channels in (1, 3)}


PICTURES = given(
    st.integers(0, 2**32),
    st.sampled_from(["noise", "flat", "sparse", "ramp"]),
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    st.sampled_from([np.uint8, np.uint16]),
)


@PICTURES
@settings(max_examples=40)
def test_everything_comes_back_and_nothing_grows(
    seed: int, kind: str, shape: tuple[int, int, int], dtype: type
) -> None:
    comes_back(seed, kind, shape, dtype)


@pytest.mark.slow
@PICTURES
@settings(max_examples=2000)
def test_two_thousand_pictures_come_back(seed: int, kind: str, shape: tuple[int, int, int], dtype: type) -> None:
    comes_back(seed, kind, shape, dtype)


def comes_back(seed: int, kind: str, shape: tuple[int, int, int], dtype: type) -> None:
    rng, top = np.random.default_rng(seed), np.iinfo(dtype).max
    if kind == "noise":
        samples = rng.integers(0, top + 1, shape)
    elif kind == "flat":
        samples = np.full(shape, rng.integers(top + 1))
    elif kind == "sparse":
        samples = rng.choice(rng.integers(0, top + 1, 3), shape)
    else:
        samples = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] * (top // 60) + np.zeros(shape, int)
    samples = samples.astype(dtype)
    payload = encode(samples, CODERS, 8)
    # 13 bytes of head and 3 + 3 bytes a tile are for photographs with tiles of 256; here they are of 8.
    assert len(payload) <= samples.nbytes + 16 + 10 * len(list(tiles(*shape[:2], 8)))
    found = decode(payload, shape, dtype, CODERS, 8)
    assert found.sound
    assert not found.damaged
    assert found.samples.dtype == dtype
    assert np.array_equal(found.samples, samples)


@pytest.mark.parametrize("native", ["", "0"])
def test_several_threads_write_and_read_the_same_bytes(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_NATIVE", native)
    rng, done = np.random.default_rng(6), []
    samples = (np.add.outer(np.arange(20), 3 * np.arange(28))[..., None] + rng.integers(0, 9, (20, 28, 4))).astype(
        np.uint8
    )
    payload = encode(samples, CODERS, 8, hands=2, progress=lambda tiles, of: done.append((tiles, of)))
    assert np.array_equal(decode(payload, samples.shape, np.uint8, CODERS, 8, hands=2).samples, samples)
    assert payload == encode(samples, CODERS, 8)
    assert done[0] == (0, 24)
    assert done[-1] == (24, 24)


def test_any_damaged_byte_is_found_and_stays_local() -> None:
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:16, :24]
    samples = np.stack([100 + 3 * rows, 50 + 4 * columns, rows + columns], -1) + rng.integers(0, 6, (16, 24, 3))
    samples = samples.astype(np.uint8)
    payload = encode(samples, CODERS, 8)
    silent = 0
    for at in range(0, len(payload), 7):
        broken = bytearray(payload)
        broken[at] ^= 1 << int(rng.integers(8))
        try:
            found = decode(bytes(broken), samples.shape, np.uint8, CODERS, 8)
        except FormatError:
            continue
        if found.sound:
            silent += 1
            assert np.array_equal(found.samples, samples)  # the last bits of a stream may not matter
        for tile in tiles(16, 24, 8):
            if tile not in found.damaged + found.missing:
                assert np.array_equal(found.samples[tile.window], samples[tile.window])
    assert silent < 5


def test_cut_payload_keeps_its_tiles() -> None:
    samples = np.random.default_rng(4).integers(0, 256, (16, 16, 1)).astype(np.uint8)
    payload = encode(samples, CODERS, 8)
    found = decode(payload[: len(payload) * 6 // 10], samples.shape, np.uint8, CODERS, 8)
    assert 0 < len(found.missing) < 4
    assert not found.damaged
    assert np.array_equal(found.samples[:8, :8], samples[:8, :8])
    assert not found.sound
    with pytest.raises(FormatError, match="no tile"):
        decode(payload[:20], samples.shape, np.uint8, CODERS, 8)


def test_a_payload_written_by_hand_after_the_specification() -> None:
    """16-bit grey and alpha, two tiles: grey with a map of values, raw and deflated; alpha as it is, deflated twice."""
    used = np.array([7, 700, 7000, 65535])
    rng = np.random.default_rng(5)
    ranks, alpha = rng.integers(0, 4, (8, 16)), rng.integers(0, 65536, (8, 16))
    samples = np.stack([used[ranks], alpha], -1).astype("<u2")

    def crc(part: np.ndarray) -> bytes:
        return zlib.crc32(part.tobytes()).to_bytes(4, "big")

    def sized(data: bytes) -> bytes:
        return bytes(encode_varint(len(data))) + data

    def deflated(part: np.ndarray) -> bytes:
        above = np.vstack([np.zeros_like(part[:1]), part[:-1]])
        steps = (part - above) % 65536
        return b"\2\1" + zlib.compress(
            (steps & 255).astype(np.uint8).tobytes() + (steps >> 8).astype(np.uint8).tobytes()
        )

    bitmap = np.zeros(65536, np.uint8)
    bitmap[used] = 1
    payload = crc(samples) + b"\2" + sized(zlib.compress(np.packbits(bitmap).tobytes())) + b"\0" + b"\x10\0\0"
    two_bits = "".join(f"{rank:02b}" for rank in ranks[:, :8].flatten())
    grey = [
        b"\0" + int(two_bits, 2).to_bytes(16, "big"),
        b"\2\0" + zlib.compress(ranks[:, 8:].astype(np.uint8).tobytes()),
    ]
    for data, columns in zip(grey, (slice(0, 8), slice(8, 16)), strict=True):
        payload += crc(samples[:, columns])[:2] + sized(data) + sized(deflated(alpha[:, columns]))
    found = decode(payload, samples.shape, np.uint16, CODERS, 8)
    assert found.sound
    assert np.array_equal(found.samples, samples)
    assert not decode(payload + b"\0", samples.shape, np.uint16, CODERS, 8).sound


def test_an_adapter_travels_in_the_payload() -> None:
    plain, rng = CODERS[1], np.random.default_rng(6)
    ramp = np.add.outer(8 * np.arange(14), 7 * np.arange(14))[..., None]
    samples = (ramp + rng.integers(0, 6, ramp.shape)).astype(np.uint8)
    adapter = {
        part: rng.integers(-2, 3, shape).astype(np.int8) for part, shape in shapes(plain.config, plain.state).items()
    }
    payload = encode(samples, {1: plain.adapted(adapter)}, 16)
    assert payload != encode(samples, CODERS, 16)
    written = write_adapter(adapter)
    assert payload[4:7] == b"\x08\0\0"  # 8 bits, no table, no adapter
    payload = payload[:6] + bytes(encode_varint(len(written))) + written + payload[7:]
    found = decode(payload, samples.shape, np.uint8, CODERS, 16)
    assert found.sound
    assert np.array_equal(found.samples, samples)


def test_adapting_changes_nothing_that_comes_back() -> None:
    samples = np.random.default_rng(7).integers(0, 40, (9, 10, 4)).astype(np.uint8)
    done: list[tuple[int, int]] = []
    payload = encode(samples, CODERS, 8, adapt=13, progress=lambda tiles, of: done.append((tiles, of)))
    assert done[-1] == (18, 18)  # four tiles of two groups twice, and a dozen steps each
    assert len(payload) <= len(encode(samples, CODERS, 8))
    found = decode(payload, samples.shape, np.uint8, CODERS, 8)
    assert found.sound
    assert np.array_equal(found.samples, samples)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_groups_cover_the_channels(channels: int) -> None:
    assert sorted(c for group in groups(channels) for c in group) == list(range(channels))
