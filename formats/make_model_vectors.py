"""Regenerate vectors/MODEL/: small files of a bundled model with the digest of the tokens they must decode to.

usage: python formats/make_model_vectors.py [MODEL]

An encoder on another machine may choose other tokens (its convolutions are ordinary floats), so these files are not
compared byte for byte when regenerated; what they decode to is fixed for ever.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from skimage import data

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.container import read

VECTORS = Path(__file__).resolve().parent / "vectors"


def token_digest(codec: ArpcCodec, name: Path) -> str:
    """SHA-256 of the latent sum (float64, exact) that a file decodes to when the likeliest bits fill it."""
    container = read(name.read_bytes())
    z = codec.latent(container, len(container.segments), "argmax", 0)
    return hashlib.sha256(np.ascontiguousarray(z.numpy().astype("<f8")).tobytes()).hexdigest()


def pictures() -> dict[str, tuple[np.ndarray, dict[str, int]]]:
    """Name -> (pixels, options): whole, few scales, a part of a scale, odd sizes, one pixel, tiles."""
    astronaut, coffee, cat = data.astronaut(), data.coffee(), data.chelsea()
    return {
        "whole": (astronaut[:128, 160:288], {}),
        "three-scales": (coffee[:96, :160], {"scales": 3}),
        "part-of-a-scale": (cat[60:188, 100:228], {"target_bytes": 300}),
        "odd-size": (cat[:75, :53], {}),
        "one-pixel": (cat[:1, :1], {}),
        "tiles": (np.tile(coffee[:32], (1, 2, 1))[:, :800], {"scales": 4}),
    }


def main() -> None:
    """Write the files and expected.json."""
    model = sys.argv[1] if len(sys.argv) > 1 else "tiny"
    codec = ArpcCodec.load(model)
    folder = VECTORS / model
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (pixels, options) in pictures().items():
        path = folder / f"{name}.arpc"
        path.write_bytes(codec.encode(np.ascontiguousarray(pixels), **options).data)
        expected[name] = {"latent_sha256": token_digest(codec, path), "size": list(pixels.shape[:2])}
    values = {"model": model, "fingerprint": codec.bundle.entry.fingerprint, "files": expected}
    (folder / "expected.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
