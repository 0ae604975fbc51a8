"""Child process of the imitation matrix: print a digest of lossless files, after proving that they come back.

usage: lossless_worker.py [--mutate] [--no-onednn] [--float64] [--autocast] [--one-by-one] MODEL
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
from worker import arguments, imitate

from arpc_codec.codecs import lossless
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.container import read
from arpc_codec.exact import grid
from arpc_codec.imageio import ExactPicture


def pictures() -> list[np.ndarray]:
    """Smooth and noisy samples: grey, RGB, RGBA, 8 and 16 bits."""
    rng = np.random.default_rng(8)
    rows, columns = np.mgrid[:37, :45]
    ramps = np.stack([3 * rows + columns, 200 - 2 * columns, rows + 2 * columns, 5 * rows], -1)
    noisy = ramps + rng.integers(0, 7, ramps.shape)
    return [
        noisy[..., :1].astype(np.uint8),
        noisy[..., :3].astype(np.uint8),
        noisy.astype(np.uint8),
        (noisy[..., :3] * 211 + rng.integers(0, 50, (37, 45, 3))).astype(np.uint16),
    ]


def main() -> None:
    """Encode every picture, decode it, and print one digest for all files."""
    flags, words = arguments()
    (model,) = words
    if "--one-by-one" in flags:
        lossless.TOGETHER = 1
    if "--mutate" in flags:
        # One kind of exact layer becomes its float twin: float32, weights off the grid.
        def float_twin(self: grid.Linear, x: np.ndarray) -> np.ndarray:
            x, weight = x.astype(np.float32), self.weight.astype(np.float32) * np.float32(1.0001)
            return (x @ weight + self.bias.astype(np.float32)).astype(np.float64)

        grid.Linear.units = float_twin  # type: ignore[method-assign]
    codec, digest = HpacCodec.load(model), hashlib.sha256()
    with imitate(flags):
        for samples in pictures():
            data = codec.encode(ExactPicture(samples))
            digest.update(data)
            found = codec.decode(read(data))
            if found.damage or not np.array_equal(found.picture.samples, samples):
                sys.exit(f"samples of shape {samples.shape} did not come back")
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
