"""Made-up tiles and models, and the two ways to code them."""

from __future__ import annotations

import numpy as np

from arpc_codec import native
from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.statistics import tile_inputs
from arpc_codec.zoo.lossless import load_lossless
from arpc_codec.zoo.registry import find

KINDS = ("noise", "flat", "sparse", "ramp", "waves")


def bundled(channels: int) -> PixelCoder:
    """The bundled prior."""
    return load_lossless(find("lossless").path).coders[channels]


def random_model(seed: int, channels: int) -> PixelCoder:
    """Small weights of any kind, odd widths, large biases and taps: all limits are met."""
    from arpc_codec.exact.tables import exp_table, rate_table, sigmoid_table, silu_table

    rng = np.random.default_rng(seed)
    width, depth, expand, head, mixtures = (
        int(rng.integers(*ends)) for ends in ((1, 20), (0, 3), (1, 4), (1, 20), (1, 6))
    )
    config = PixelConfig(channels, width, depth, expand, head, mixtures)
    state: dict[str, np.ndarray] = {}

    def put(name: str, inputs: int, outputs: int) -> None:
        state[f"{name}.weight"] = rng.integers(-32767, 32768, (outputs, inputs)).astype(np.int16)
        state[f"{name}.exponent"] = rng.integers(12, 19, outputs).astype(np.int8)
        state[f"{name}.bias"] = (rng.normal(size=outputs) * 2.0 ** rng.integers(10, 24)).astype(np.int32)

    put("embed", channels * 29 + 4 * channels + channels * (channels - 1) // 2 + 1, width)
    for block in (f"blocks.{i}" for i in range(depth)):
        for name, inputs, outputs in (("a", 1, 1), ("v", 1, 1), ("proj", 1, 1), ("up", 1, expand), ("down", expand, 1)):
            put(f"{block}.{name}", inputs * width, outputs * width)
        state[f"{block}.taps"] = (rng.normal(size=(12, width)) * 2.0 ** rng.integers(16, 28)).astype(np.int32)
    for place in range(channels):
        put(f"inner.{place}", width + 3 + 2 * place, head)
        put(f"outer.{place}", head, 3 * mixtures)
    tables = {"silu": silu_table(), "exp": exp_table(), "rate": rate_table(), "sigmoid": sigmoid_table()}
    state |= {f"tables.{name}": table.numpy() for name, table in tables.items()}
    return PixelCoder(config, state)


def tile(rng: np.random.Generator, kind: str, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    """Samples int32 [H, W, C] below 2^bits."""
    top = 1 << bits
    rows, columns = np.mgrid[: shape[0], : shape[1]][..., None] + np.zeros(shape, int)
    if kind == "noise":
        made = rng.integers(0, top, shape)
    elif kind == "flat":
        made = np.full(shape, int(rng.integers(top)))
    elif kind == "sparse":
        made = rng.choice(rng.integers(0, top, 3), shape)
    elif kind == "ramp":
        made = rows * int(rng.integers(top)) + columns * int(rng.integers(top)) + rng.integers(0, 1 + top // 50, shape)
    else:
        made = (top / 2 * (1 + np.sin(rows / 3.7 + columns / 5.1))).astype(int) + rng.integers(-1, 2, shape)
    return (made % top).astype(np.int32)


def in_numpy(coder: PixelCoder) -> PixelCoder:
    """The same model without the compiled wavefront."""
    return _InNumpy(coder.config, coder.state)


class _InNumpy(PixelCoder):
    @property
    def _native(self) -> bool:
        return False


def compared(seed: int, coder: PixelCoder) -> None:
    """One made-up tile: the same stream both ways, and each reads it; so do streams that no encoder wrote.

    What the network sees of the tile is the same, too.
    """
    assert native.version()
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 40)), int(rng.integers(1, 24)), coder.config.channels)
    bits, plain = int(rng.choice([1, 2, 7, 8, 9, 12, 16])), in_numpy(coder)
    made = tile(rng, str(rng.choice(KINDS)), shape, bits)
    (stream,) = plain.encode(made[None], bits)
    assert coder.encode(made[None], bits) == [stream], (seed, shape, bits)
    for part, expected in zip(
        native.observe(made, bits), tile_inputs(made[None].astype(np.float64), bits), strict=True
    ):
        assert np.array_equal(part, expected[0].astype(np.float32)), (seed, shape, bits)
    streams = [stream, stream[: len(stream) // 2], rng.bytes(int(rng.integers(0, 200))), b"\xff" * 40]
    mixed = bytearray(stream)
    if mixed:
        mixed[int(rng.integers(len(mixed)))] ^= 1 << int(rng.integers(8))
    streams.append(bytes(mixed))
    (found, broken), (wanted, broken_there) = (c.decode(streams, shape[:2], bits) for c in (coder, plain))
    assert np.array_equal(found[0], made)
    assert broken == broken_there
    for index in set(range(len(streams))) - broken:
        assert np.array_equal(found[index], wanted[index]), (seed, index)
