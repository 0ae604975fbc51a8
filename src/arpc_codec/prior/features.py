"""What the lossless prior sees of a pixel, in numpy and torch alike: the network itself is in `pixel.py`.

Features are errors of the adaptive prediction and differences of samples nearby, in units of the local error, so that
the network does not know how bright, how noisy or how deep a picture is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from arpc_codec.prior.adaptive import HERE, NE, NN, NW, WW, N, W
from arpc_codec.prior.statistics import count
from arpc_codec.prior.wavefront import Field, causal

ERRORS = tuple(causal(3))
NEARBY = (W, NW, NE, WW, NN)
# Offsets of the gated blocks: what they computed at the pixel itself counts too.
TAPS = (HERE, *causal(2))
CLIP = 8.0
# Scales at which s / (s + a) tells scales apart.
SCALE_MARKS = (1.0, 8.0)


@dataclass(frozen=True)
class PixelConfig:
    """channels: 1 (grey or alpha) or 3. mixtures: logistics in a mixture."""

    channels: int = 3
    width: int = 64
    depth: int = 2
    expand: int = 3
    head: int = 64
    mixtures: int = 4


def pixel_inputs(channels: int) -> int:
    """Number of the features of a pixel that do not depend on itself."""
    return channels * (len(ERRORS) + len(NEARBY) + len(SCALE_MARKS)) + count(channels)


def own_inputs(place: int) -> int:
    """Number of the features of one channel, which comes at this place of the coding order."""
    return 1 + len(SCALE_MARKS) + 2 * place


def pixel_features(library: Any, sample: Field, error: Field, scales: Any, statistics: Any) -> Any:
    """[F, ...] features that do not depend on the pixel itself. library: numpy or torch, whose arrays the others are.

    scales [C, ...], statistics [n, ...].
    """
    unit, nearby = scales[:, None], sample.window((*NEARBY, N))
    base = (nearby[:, :1] + nearby[:, -1:]) / 2
    parts = [
        (error.window(ERRORS) / unit).clip(-CLIP, CLIP),
        ((nearby[:, :-1] - base) / unit).clip(-CLIP, CLIP),
        *(unit / (unit + mark) for mark in SCALE_MARKS),
    ]
    own = library.concatenate(parts, 1)
    return library.concatenate([statistics, own.reshape(own.shape[0] * own.shape[1], *own.shape[2:])])


def channel_features(library: Any, mean: Any, base: Any, scale: Any, before: Sequence[Any]) -> Any:
    """[G, ...] features of one channel: its prediction, and the scaled errors of the channels before it."""
    parts = [((mean - base) / scale).clip(-CLIP, CLIP), *(scale / (scale + mark) for mark in SCALE_MARKS)]
    for z in before:
        parts += [z, abs(z)]
    return library.stack(parts)
