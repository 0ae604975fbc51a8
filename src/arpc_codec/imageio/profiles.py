"""ICC profiles (ICC.1:2022) of colours that are told by primaries and a curve."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Of the white that profiles refer to, D50, and from X, Y and Z to what the cones of an eye see (Bradford).
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# g, a, b, c, d of (a x + b)^g, and c x below d.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VERSION = 0x04300000


def made_profile(name: str, chromaticities: Sequence[float], gamma: float | None, grey: bool) -> bytes:
    """A profile of RGB or grey.

    chromaticities: x and y of white, red, green and blue. gamma: the exponent that makes light of samples; None: the
    curve of sRGB. Raises ValueError for primaries that span no colours.
    """
    curve = _curve(_SRGB_CURVE if gamma is None else (gamma,))
    tags = {b"desc": _text(name), b"cprt": _text("no copyright"), b"wtpt": _xyz(_D50)}
    if grey:
        tags[b"kTRC"] = curve
    else:
        adaptation, primaries = _adapted(np.array(chromaticities, np.float64).reshape(4, 2))
        tags[b"chad"] = b"sf32\0\0\0\0" + _fixed(adaptation)
        tags |= {bytes([letter]) + b"XYZ": _xyz(xyz) for letter, xyz in zip(b"rgb", primaries.T, strict=True)}
        tags |= {bytes([letter]) + b"TRC": curve for letter in b"rgb"}
    return _file(tags, b"GRAY" if grey else b"RGB ")


def _adapted(xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(matrix from the white of these chromaticities to D50, XYZ of the primaries in its columns, under D50)."""
    if not (xy[:, 1] > 0).all() or not (xy.sum(axis=1) <= 1).all():
        raise ValueError("these chromaticities are no colours")
    white, *primaries = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(axis=1)) / xy[:, 1]], axis=1)
    columns = np.stack(primaries, axis=1)
    if abs(np.linalg.det(columns)) < 1e-4:
        raise ValueError("these primaries span no colours")
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adaptation = np.linalg.inv(_BRADFORD) @ (gains[:, None] * _BRADFORD)
    adapted = adaptation @ (columns * np.linalg.solve(columns, white))
    if not (np.abs(adapted) < 16).all():
        raise ValueError("these primaries span no colours")
    return adaptation, adapted


def _file(tags: dict[bytes, bytes], space: bytes) -> bytes:
    header = struct.pack(">8xI4s4s4s", _VERSION, b"mntr", space, b"XYZ ").ljust(24, b"\0")
    # A date must be there; the same profile is the same bytes.
    header += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp")
    header = header.ljust(68, b"\0") + _fixed(_D50)
    table, body = struct.pack(">I", len(tags)), b""
    at = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(value))
        body += value.ljust(-(-len(value) // 4) * 4, b"\0")
    whole = header.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def _curve(parameters: Sequence[float]) -> bytes:
    return struct.pack(">4s4xHxx", b"para", 3 if len(parameters) > 1 else 0) + _fixed(np.array(parameters))


def _xyz(xyz: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(xyz)


def _text(text: str) -> bytes:
    words = text.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(words), 28) + words


def _fixed(values: NDArray[np.float64]) -> bytes:
    """s15Fixed16Number."""
    return np.rint(values * 65536).astype(">i4").tobytes()
