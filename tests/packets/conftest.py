"""Files of every codec, of made-up content, as no model is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from arpc_codec.codecs.stages import write_stage
from arpc_codec.container import Chunk, ChunkType, Codec, Colour, Container, Header, LosslessMode, write
from arpc_codec.scales import latent_size


@pytest.fixture(scope="session")
def progic_file() -> Callable[..., bytes]:
    """Function (width, height, stages, ...) -> a ProGIC file of a model with a fingerprint of zeros."""

    def make(
        width: int,
        height: int,
        stages: int,
        entries: int = 1000,
        seed: int = 0,
        caption: str = "",
        chunks: tuple[Chunk, ...] = (),
    ) -> bytes:
        rng = np.random.default_rng(seed)
        shape = latent_size(height, width)
        segments = tuple(
            write_stage(rng.integers(0, entries, shape), entries, bytes(32), stage) for stage in range(stages)
        )
        return write(Container(Header(Codec.PROGIC, 3, width, height, stages, caption=caption), segments, chunks))

    return make


@pytest.fixture(scope="session")
def files(progic_file: Callable[..., bytes]) -> dict[str, bytes]:
    """A file of every codec, with and without metadata."""
    rng = np.random.default_rng(1)
    scales = tuple(rng.bytes(size) for size in (1, 0, 4, 30, 100, 400))
    chunks = (Chunk(ChunkType.ICC, rng.bytes(500)), Chunk(ChunkType.XMP, b"x"), Chunk(0x45, b"private"))
    plain = Header(Codec.ARPC, 1, 768, 512, 6)
    rich = Header(Codec.ARPC, 300, 5000, 4000, 6, Colour.GREY, phases=2, tiled=True, caption="Café")
    lossless = Header(Codec.HPAC, 2, 90, 70, 1, lossless=LosslessMode(bits=16, alpha=True, tile=64))
    conditioned = replace(plain, caption="a red boat", guarded=True, conditioned=True)
    return {
        "arpc, conditioned": write(Container(conditioned, scales)),
        "arpc, conditioned, metadata": write(Container(conditioned, scales, chunks)),
        "arpc": write(Container(plain, scales)),
        "arpc, metadata": write(Container(rich, scales, chunks)),
        "progic": progic_file(256, 256, 5),
        "progic, one stage": progic_file(256, 256, 1),
        "progic, metadata": progic_file(300, 200, 3, caption="a" * 900, chunks=chunks),
        "progic, small": progic_file(48, 32, 2),
        "progic, thin": progic_file(5, 3000, 4),
        "hpac": write(Container(lossless, (rng.bytes(3000),))),
        "hpac, metadata": write(Container(lossless, (rng.bytes(3000),), chunks)),
    }
