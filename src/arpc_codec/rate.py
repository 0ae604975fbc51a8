"""The ways to ask for a rate."""

from __future__ import annotations

from math import inf
from numbers import Real

from arpc_codec.container import Codec
from arpc_codec.errors import UsageError, whole_number

# Bits a pixel that no file has; much more would be no number of bytes.
ANY_BPP = 1e15


def rate_bytes(
    height: int, width: int, *, scales: int | None, target_bytes: int | None, target_bpp: float | None
) -> int | None:
    """Largest file in bytes that the options allow for a picture of this size; None when they name no size.

    UsageError when more than one is given or when one is not positive or no number.
    """
    if sum(rate is not None for rate in (scales, target_bytes, target_bpp)) > 1:
        raise UsageError("only one of scales, target bytes and target bpp can be given")
    if scales is not None and whole_number("scales", scales) < 1:
        raise UsageError(f"at least one scale must be sent, not {scales}")
    if target_bytes is not None and whole_number("target bytes", target_bytes) < 1:
        raise UsageError(f"target bytes must be at least 1, not {target_bytes}")
    if target_bpp is None:
        return target_bytes
    if not isinstance(target_bpp, Real) or not 0 < target_bpp < inf:
        raise UsageError(f"target bpp must be a number above 0, not {target_bpp!r}")
    return int(min(target_bpp, ANY_BPP) * height * width / 8)


def parts_wanted(codec: Codec, scales: int | None, stages: int | None) -> int | None:
    """How many scales or stages are asked for: `stages` is the name that `scales` has in codec progic.

    UsageError when both are given, or stages of another codec.
    """
    if stages is None:
        return scales
    if codec is not Codec.PROGIC:
        raise UsageError(f"codec {codec.name.lower()} has no stages, only progic has")
    if scales is not None:
        raise UsageError("scales and stages are the same here: only one can be given")
    return stages
