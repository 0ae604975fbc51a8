"""What was invented: how much of each cell was sent, and how much the prior had to guess."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import MEAN
from arpc_codec.codecs.tiles import blend
from arpc_codec.codecs.tokens import expected_code, spread
from arpc_codec.container import Container
from arpc_codec.scales import STRIDE
from arpc_codec.tile import Tile


@torch.inference_mode()
def certainty(codec: ArpcCodec, container: Container, scales: int | None = None) -> np.ndarray:
    """float32 [H, W] from 0 to 1: of 2x2 cells each, the bits that were received / these and the bits still expected.

    Received is what the sent decisions cost by the prior's chances, without checks and lengths. Expected is the prior's
    entropy of every scale that was not sent, as long as nothing of it is known; before the next one it is filled with
    what is expected of it. Tokens of small scales are shared by the cells below them. 1 everywhere if all scales are
    used. scales: as in `ArpcCodec.decode`. Raises as that method, and FormatError for a damaged scale.
    """
    header = container.header
    used, _ = codec.check(container, scales, MEAN)
    plan = codec.layout(header.height, header.width)

    def parts() -> Iterator[tuple[Tile, Tensor]]:
        for tile, walk in codec.walks(container, used, count=True):
            assert walk.received is not None
            codec.priors.join(walk, header, plan, MEAN)
            expected = torch.zeros_like(walk.received)
            while walk.scale < len(walk.schedule):
                said, features = walk.predict()
                chances = walk.prior.chances(said, features, walk.after)
                entropy_hw = walk.quantizer.entropy(chances, walk.scale, walk.schedule)
                expected += spread(entropy_hw, walk.schedule[-1])
                walk.advance(expected_code(walk, said, features))
            # Of neighbours in the four phases the later ones cost less, because the first ones told of them.
            received, more = (pooled(bits_hw) for bits_hw in (walk.received, expected))
            share = torch.where(more > 0, received / (received + more), 1.0)
            yield tile, share.float().cpu()[None, None]

    rows, cols = (
        np.arange(length, dtype=np.int64) * coded // length // STRIDE
        for length, coded in zip((header.height, header.width), plan.size, strict=True)
    )
    found: np.ndarray = blend(parts(), plan.cells)[0, 0].numpy()[rows][:, cols]
    return found


def pooled(bits_hw: Tensor) -> Tensor:
    """Mean [h, w] of the 2x2 cells that each belongs to."""
    means = F.avg_pool2d(bits_hw[None], 2, ceil_mode=True)[0]
    return means.repeat_interleave(2, 0).repeat_interleave(2, 1)[: bits_hw.shape[0], : bits_hw.shape[1]]
