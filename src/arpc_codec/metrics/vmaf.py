"""VMAF (model v0.6.1) through ffmpeg's filter libvmaf, on 8-bit 4:2:0 as its model was trained."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from arpc_codec.metrics import NotMeasurable, ffmpeg

SMALLEST = 32
"""Shortest side in pixels; libvmaf crashes on pictures of 16."""

# The decoded picture lies above the reference in one frame, so that no file is needed to pass two pictures.
_GRAPH = (
    "split[a][b];[a]crop=iw:ih/2:0:0,format=yuv420p[decoded];"
    "[b]crop=iw:ih/2:0:ih/2,format=yuv420p[reference];[decoded][reference]libvmaf=n_threads=1"
)


def missing() -> str | None:
    """Why VMAF cannot run here, or None when it can."""
    return ffmpeg.missing("-filters", "libvmaf")


def vmaf(reference: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Score of two uint8 pictures HxWx3, 0 to 100; what is worse than its model knows is 0 too.

    Equal pictures score about 97.43: VMAF rewards motion, and a still picture has none.
    Raises NotMeasurable when a side is below `SMALLEST`, RuntimeError when ffmpeg fails.
    """
    if min(reference.shape[:2]) < SMALLEST:
        raise NotMeasurable(f"VMAF needs sides of {SMALLEST} pixels")
    both = np.concatenate([decoded, reference])
    arguments = [*ffmpeg.rgb_input(both), "-lavfi", _GRAPH, "-f", "null", "-"]
    said = ffmpeg.run(ffmpeg.command(arguments, "info"), both.tobytes()).stderr.decode(errors="replace")
    score = re.search(r"VMAF score: ([\d.]+)", said)
    if score is None:
        raise RuntimeError("ffmpeg states no VMAF score")
    return float(score[1])
