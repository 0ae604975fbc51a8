"""The wavefront of lossless coding in C, where it could be compiled: the same bytes as `exact/pixel.py`, sooner.

ARPC_NATIVE=0 turns it off; base, avx2 or avx512 choose vectors that the processor has, else the widest are taken.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np

from arpc_codec.errors import ModelError, UsageError
from arpc_codec.exact.grid import State
from arpc_codec.prior.adaptive import N, contexts
from arpc_codec.prior.features import ERRORS, NEARBY, TAPS, PixelConfig, own_inputs, pixel_inputs
from arpc_codec.prior.wavefront import Offset

try:
    from arpc_codec.native import _wavefront  # type: ignore[attr-defined]
except ImportError:
    _wavefront = None

# What the C sources hold: wider networks are left to numpy.
MOST = PixelConfig(channels=3, width=256, depth=64, expand=16, head=1024, mixtures=16)


def version() -> str:
    """The instruction set that is used, or nothing when numpy does the work. Raises UsageError for one not there."""
    wanted = os.environ.get("ARPC_NATIVE", "")
    if wanted == "0" or (_wavefront is None and not wanted):
        return ""
    if _wavefront is None:
        raise UsageError(f"ARPC_NATIVE={wanted}: the package was installed without its compiled part")
    there: tuple[str, ...] = _wavefront.versions()
    if wanted and wanted not in there:
        raise UsageError(f"ARPC_NATIVE={wanted}: this processor has {', '.join(there)}")
    return wanted or there[0]


class NativeCoder:
    """One model, tile by tile; any number of threads may use it at a time."""

    def __init__(self, config: PixelConfig, state: State) -> None:
        """Raises ModelError for sizes that are not compiled in or tables that are none."""
        plan = contexts(config.channels)
        inputs = max(len(context.inputs) for context in plan)
        sizes = (config.channels, config.width, config.depth, config.expand, config.head, config.mixtures, inputs)
        try:
            self.model: Any = _wavefront.model(sizes, tuple(_arrays(config, state, inputs)))
        except ValueError as error:
            raise ModelError(f"the compiled wavefront cannot hold this model: {error}") from error
        self.channels = config.channels

    def encode(self, tile_hwc: np.ndarray, bits: int, stop: bytearray) -> bytes:
        """The stream of samples below 2^bits. Ends with InterruptedError when stop[0] is set."""
        height, width, _ = tile_hwc.shape
        samples = np.ascontiguousarray(tile_hwc, np.int32).tobytes()
        stream: bytes = _wavefront.encode(self.model, samples, height, width, bits, version(), stop)
        return stream

    def decode(self, stream: bytes, shape: tuple[int, int], bits: int, stop: bytearray) -> np.ndarray | None:
        """Samples int32 [H, W, C], or None when the stream is impossible. `stop` as in `encode`."""
        data = _wavefront.decode(self.model, bytes(stream), *shape, bits, version(), stop)
        return None if data is None else np.frombuffer(data, np.int32).reshape(*shape, self.channels)


def observe(tile_hwc: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """(errors [H, W, C], statistics [H, W, n]) float32 of samples below 2^bits, as the network is shown them."""
    height, width, channels = tile_hwc.shape
    samples = np.ascontiguousarray(tile_hwc, np.int32).tobytes()
    parts = _wavefront.observe(_observer(channels), samples, height, width, bits, version(), bytearray(1))
    errors, statistics = (np.frombuffer(part, np.float32).reshape(height, width, -1) for part in parts)
    return errors, statistics


@cache
def _observer(channels: int) -> Any:
    """A model with the smallest network, which is not asked."""
    config = PixelConfig(channels, width=1, depth=0, expand=1, head=1, mixtures=1)
    sizes = {"embed": (1, pixel_inputs(channels))}
    for place in range(channels):
        sizes |= {f"inner.{place}": (1, 1 + own_inputs(place)), f"outer.{place}": (3, 1)}
    state: dict[str, Any] = {}
    for name, size in sizes.items():
        state |= {f"{name}.weight": np.zeros(size), f"{name}.exponent": np.zeros(size[0])}
        state[f"{name}.bias"] = state[f"{name}.exponent"]
    state |= {f"tables.{name}": np.zeros(n) for name, n in (("silu", 1), ("exp", 2048), ("rate", 1), ("sigmoid", 2562))}
    return NativeCoder(config, state).model


def holds(config: PixelConfig) -> bool:
    """Whether networks of these sizes are compiled in."""
    return all(getattr(config, name) <= most for name, most in vars(MOST).items())


def _arrays(config: PixelConfig, state: State, inputs: int) -> list[bytes]:
    """In the order of `model_new` in model.c: offsets, plan of the prediction, layers, tables."""
    result = [_offsets(ERRORS), _offsets((*NEARBY, N)), _offsets(TAPS)]
    for context in contexts(config.channels):
        # Slots that are not used hold the pixel below, which is never known.
        left = inputs - len(context.inputs)
        slots = [(channel, *offset) for channel, offset in context.inputs] + [(0, 1, 0)] * left
        result.append(np.array([context.channel, *np.ravel(slots)], np.int8).tobytes())
        result.append(np.array([*context.start, *[0.0] * left]).tobytes())
    result += _layer(state, "embed")
    for block in (f"blocks.{i}" for i in range(config.depth)):
        result += _layer(state, f"{block}.a", f"{block}.v")
        for name in ("proj", "up", "down"):
            result += _layer(state, f"{block}.{name}")
        result.append(state[f"{block}.taps"].astype(np.int32).tobytes())
    for part in ("inner", "outer"):
        for place in range(config.channels):
            result += _layer(state, f"{part}.{place}")
    return result + [state[f"tables.{name}"].astype(np.int32).tobytes() for name in ("silu", "exp", "rate", "sigmoid")]


def _offsets(offsets: tuple[Offset, ...]) -> bytes:
    return np.array(offsets, np.int8).tobytes()


def _layer(state: State, *names: str) -> list[bytes]:
    """Weights, exponents and biases of layers with the same input, one behind the other."""
    kinds = {"weight": np.int16, "exponent": np.int8, "bias": np.int32}
    joined = {part: np.concatenate([state[f"{name}.{part}"] for name in names]) for part in kinds}
    return [joined[part].astype(kind).tobytes() for part, kind in kinds.items()]
