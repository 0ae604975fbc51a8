"""Regenerate vectors/MODEL/: small files of a bundled model with the digest of what they must decode to.

usage: python formats/make_model_vectors.py [MODEL]

What the files decode to is fixed for ever: the tokens (indices) of a lossy file, the samples of a lossless one. An
encoder on another machine may choose other tokens (its convolutions are ordinary floats), so files are not compared
byte for byte when regenerated, except lossless ones without an adapter.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from skimage import data

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read
from arpc_codec.imageio import ExactPicture
from arpc_codec.zoo.registry import find

# Bytes in which the last scale of codec arpc is there in part, which depends on the model.
PART = {"arpc": 350, "progic": 300}
# Steps of fitting the prior to the picture.
ADAPTED = {"adapted": 100}
VECTORS = Path(__file__).resolve().parent / "vectors"


def token_digest(codec: ArpcCodec, name: Path) -> str:
    """SHA-256 of the latent sum (float64, exact) that a file decodes to when the likeliest bits fill it."""
    container = read(name.read_bytes())
    z = codec.latent(container, len(container.segments), Filling("argmax"))
    return hashlib.sha256(np.ascontiguousarray(z.numpy().astype("<f8")).tobytes()).hexdigest()


def index_digest(codec: ProgicCodec, name: Path) -> str:
    """SHA-256 of the indices that a file decodes to, stage by stage in raster order, 16 bits low byte first."""
    indices, _ = codec.indices(read(name.read_bytes()))
    return hashlib.sha256(indices.astype("<u2").tobytes()).hexdigest()


def mirrored(picture: np.ndarray) -> np.ndarray:
    """Twice the height and width: the picture, and beside and below it its mirror images."""
    wide = np.concatenate([picture, picture[:, ::-1]], 1)
    return np.concatenate([wide, wide[::-1]])


def pictures(codec: str) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Name -> (pixels, options): whole, few scales or stages, a target size, odd sizes, one pixel, tiles, large."""
    own = {"portable": (data.chelsea()[60:124, 100:180], {"portable": True})} if codec == "arpc" else {}
    astronaut, coffee, cat = data.astronaut(), data.coffee(), data.chelsea()
    return own | {
        "whole": (astronaut[:128, 160:288], {}),
        "three-scales": (coffee[:96, :160], {"scales": 3}),
        "part-of-a-scale": (cat[60:188, 100:228], {"target_bytes": PART[codec]}),
        "odd-size": (cat[:75, :53], {}),
        "one-pixel": (cat[:1, :1], {}),
        "tiles": (np.tile(coffee[:32], (1, 2, 1))[:, :800], {"scales": 4}),
        "large": (mirrored(coffee), {}),
    }


def sample_digest(codec: HpacCodec, name: Path) -> str:
    """SHA-256 of the samples that a lossless file decodes to, row by row, 16 bits low byte first."""
    found = codec.decode(read(name.read_bytes()))
    samples = found.picture.samples
    return hashlib.sha256(samples.astype(samples.dtype.newbyteorder("<")).tobytes()).hexdigest()


def exact_pictures() -> dict[str, np.ndarray]:
    """Name -> samples: colour, alpha, grey, 12 of 16 bits, one pixel, with an adapter, several tiles."""
    astronaut, coffee, cat = data.astronaut(), data.coffee(), data.chelsea()
    ramp = np.add.outer(np.arange(48), np.arange(40))[..., None].astype(np.uint8)
    deep = cat[:40, :56, :1].astype(np.uint16) * 16 + ramp[:40, :1] % 16
    return {
        "colour": astronaut[100:148, 200:264],
        "colour-alpha": np.concatenate([coffee[60:108, 80:120], ramp], -1),
        "grey": data.camera()[200:264, 200:248, None],
        "grey-16": deep,
        "colour-16": astronaut[:24, :32].astype(np.uint16) * 257,
        "one-pixel": cat[:1, :1],
        "adapted": data.moon()[:160, :160, None],
        "large": cat,
    }


def main() -> None:
    """Write the files and expected.json."""
    model = sys.argv[1] if len(sys.argv) > 1 else "tiny"
    entry = find(model)
    folder = VECTORS / model
    folder.mkdir(parents=True, exist_ok=True)
    expected: dict[str, dict[str, object]] = {}
    if entry.codec == "hpac":
        exact = HpacCodec.load(model)
        for name, samples in exact_pictures().items():
            path = folder / f"{name}.arpc"
            picture = ExactPicture(np.ascontiguousarray(samples))
            path.write_bytes(exact.encode(picture, adapt=ADAPTED.get(name, 0)))
            expected[name] = {"samples_sha256": sample_digest(exact, path), "size": list(samples.shape[:2])}
    else:
        codec = ProgicCodec.load(model) if entry.codec == "progic" else ArpcCodec.load(model)
        for name, (pixels, options) in pictures(entry.codec).items():
            path = folder / f"{name}.arpc"
            path.write_bytes(codec.encode(np.ascontiguousarray(pixels), **options).data)
            kind, digest = (
                ("indices_sha256", index_digest(codec, path))
                if isinstance(codec, ProgicCodec)
                else ("latent_sha256", token_digest(codec, path))
            )
            expected[name] = {kind: digest, "size": list(pixels.shape[:2])}
        if entry.codec == "arpc":
            assert read((folder / "part-of-a-scale.arpc").read_bytes()).header.phases
    values = {"model": model, "fingerprint": entry.fingerprint, "files": expected}
    (folder / "expected.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
