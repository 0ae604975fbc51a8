"""Child process of the imitation matrix: print a digest of the probabilities of indices and of their segments.

usage: indices_worker.py [--no-onednn] [--float64] [--autocast] [--small-chunks] MODEL
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import torch
from worker import arguments, imitate

from arpc_codec.codecs.indices import read_next, write_stages
from arpc_codec.exact import indices
from arpc_codec.zoo.progic import load_progic
from arpc_codec.zoo.registry import find

SHAPES = ((1, 1), (16, 16), (37, 21))


def main() -> None:
    """Write stages of made-up indices, read them, and print one digest of everything."""
    flags, words = arguments()
    (name,) = words
    if "--small-chunks" in flags:
        indices.CHUNK = 5
    model, digest = load_progic(find(name).path), hashlib.sha256()
    prior, config = model.prior, model.network.config
    assert prior is not None
    plain, rows = prior._chances, list[torch.Tensor]()

    def recorded(units: torch.Tensor) -> torch.Tensor:
        rows.append(plain(units))
        return rows[-1]

    prior._chances = recorded  # type: ignore[method-assign]
    rng = np.random.default_rng(1)
    with imitate(flags):
        for shape in SHAPES:
            # Small ones are likelier, so that some stages are coded.
            made = (config.entries * rng.random((config.stages, *shape)) ** 3).astype(np.int32)
            rows.clear()
            segments = list(write_stages(model, made))
            digest.update(b"".join(segments))
            # Halves of a pass come in other parts when chunks are smaller.
            for width in sorted({row.shape[1] for row in rows}):
                digest.update(torch.cat([row for row in rows if row.shape[1] == width]).numpy().tobytes())
            found: list[np.ndarray] = []
            for segment in segments:
                found.append(read_next(model, found, segment, shape))
            if not np.array_equal(np.stack(found), made):
                sys.exit(f"indices of shape {shape} did not come back")
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
