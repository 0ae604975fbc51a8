"""Pictures resampled in strips: the same as at once, in little memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from arpc_codec.codecs import layout
from arpc_codec.codecs.layout import resample


@pytest.mark.parametrize(
    ("size", "target"), [((60, 68), (500, 701)), ((500, 700), (60, 68)), ((64, 256), (301, 97)), ((33, 31), (33, 32))]
)
def test_strips_are_the_whole(size: tuple[int, int], target: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    whole = np.asarray(Image.fromarray(pixels).resize(target[::-1], Image.Resampling.LANCZOS))
    assert np.array_equal(resample(pixels, target), whole)
    monkeypatch.setattr(layout, "STRIP_PIXELS", 7 * max(size[0], target[0]))
    difference = np.abs(resample(pixels, target).astype(int) - whole)
    # Pillow takes the ends of a strip in single precision: rarely a sample rounds the other way, once or twice.
    assert difference.max() <= 2
    assert difference.mean() < 1e-3


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read the Linux way")
@pytest.mark.parametrize("target", [(4096, 8192), (64, 2**18)])
def test_memory_is_that_of_the_picture(target: tuple[int, int]) -> None:
    code = f"""
import numpy as np, resource
from arpc_codec.codecs.layout import resample
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
resample(np.zeros((144, 400, 3), np.uint8), {target})
print(peak() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert grown < 3 * target[0] * target[1] + 2**26
