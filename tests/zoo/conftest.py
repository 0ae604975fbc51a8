"""Checkpoints in the published layout of Infinity (KEYS.md) with random weights, of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
Checkpoint = dict[str, Tensor]


def _conv(name: str, width: int, width_in: int, side: int = 3) -> Shapes:
    return {f"{name}.conv.weight": (width, width_in, side, side), f"{name}.conv.bias": (width,)}


def _block(name: str, width_in: int, width: int) -> Shapes:
    norms = {
        f"{name}.{norm}.norm.{part}": (n,)
        for norm, n in (("norm1", width_in), ("norm2", width))
        for part in ("weight", "bias")
    }
    shortcut = _conv(f"{name}.nin_shortcut", width, width_in, 1) if width_in != width else {}
    return norms | _conv(f"{name}.conv1", width, width_in) | _conv(f"{name}.conv2", width, width) | shortcut


def _ends(name: str, middle: int, last: int, out: int) -> Shapes:
    """What encoder and decoder share: the middle blocks, the last norm and the last convolution."""
    shapes = _block(f"{name}.mid.block_1", middle, middle) | _block(f"{name}.mid.block_2", middle, middle)
    shapes |= {f"{name}.norm_out.norm.weight": (last,), f"{name}.norm_out.norm.bias": (last,)}
    return shapes | _conv(f"{name}.conv_out", out, last)


def tokenizer_shapes(d: int, base: int, multipliers: tuple[int, ...], res_blocks: int) -> Shapes:
    """Key -> shape; multipliers of both encoder and decoder, with four halvings."""
    widths = [base * m for m in multipliers]
    shapes = _conv("encoder.conv_in", base, 3) | _ends("encoder", widths[-1], widths[-1], d)
    width = base
    for i, level in enumerate(widths):
        for j in range(res_blocks):
            shapes |= _block(f"encoder.down.{i}.block.{j}", width, level)
            width = level
        if i < 4:
            shapes |= _conv(f"encoder.down.{i}.downsample.conv", width, width)
    shapes |= _conv("decoder.conv_in", width, d) | _ends("decoder", width, widths[0], 3)
    for i in reversed(range(len(widths))):
        for j in range(res_blocks + 1):
            shapes |= _block(f"decoder.up.{i}.block.{j}", width, widths[i])
            width = widths[i]
        if 1 <= i <= 4:
            shapes |= _conv(f"decoder.up.{i}.upsample.conv", width, width)
    return shapes


def transformer_shapes(
    d: int, width: int, depth: int, heads: int, chunks: int, text: int, text_maxlen: int, hidden: int, levels: int
) -> Shapes:
    """Key -> shape."""
    pool = max(1, text // 128)
    sos, memory = "text_proj_for_sos.ca", "text_proj_for_ca"
    shapes: Shapes = {
        "cfg_uncond": (text_maxlen, text),
        "pos_start": (1, 1, width),
        "text_norm.weight": (text,),
        f"{sos}.mat_q": (1, pool, width // pool),
        f"{sos}.v_bias": (width,),
        f"{sos}.zero_k_bias": (width,),
        f"{sos}.mat_kv.weight": (2 * width, text),
        "lvl_embed.weight": (levels, width),
    }
    linear = {
        f"{sos}.proj": (width, width),
        f"{memory}.0": (width, text),
        f"{memory}.2": (width, width),
        "word_embed": (width, d),
        "shared_ada_lin.1": (6 * width, width),
        "head_nm.ada_lin.1": (2 * width, width),
        "head": (2 * d, width),
    }
    for number in range(depth):
        chunk, index = divmod(number, depth // chunks)
        block = f"block_chunks.{chunk}.module.{index}" if chunks > 1 else f"blocks.{number}"
        shapes |= {f"{block}.ada_gss": (1, 1, 6, width), f"{block}.sa.scale_mul_1H11": (1, heads, 1, 1)}
        vectors = ("sa.q_bias", "sa.v_bias", "sa.zero_k_bias", "ca.v_bias", "ca.zero_k_bias")
        shapes |= {f"{block}.{vector}": (width,) for vector in (*vectors, "ca_norm.weight", "ca_norm.bias")}
        shapes |= {f"{block}.sa.mat_qkv.weight": (3 * width, width), f"{block}.ca.mat_kv.weight": (2 * width, width)}
        linear |= {f"{block}.{layer}": (width, width) for layer in ("sa.proj", "ca.mat_q", "ca.proj")}
        linear |= {f"{block}.ffn.fc1": (hidden, width), f"{block}.ffn.fc2": (width, hidden)}
    for layer, shape in linear.items():
        shapes |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1]}
    return shapes


def random_checkpoint(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> Checkpoint:
    """Random weights of these shapes; the biases of keys are zero."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.zeros(shape) if key.endswith("zero_k_bias") else 0.1 * torch.randn(shape, generator=generator)
        for key, shape in shapes.items()
    }


@pytest.fixture
def released_shapes() -> tuple[Shapes, Shapes]:
    """Of the d32 tokenizer and the 2B transformer; their sizes are those of KEYS.md."""
    return (
        tokenizer_shapes(32, 128, (1, 2, 4, 4, 4), 2),
        transformer_shapes(32, 2048, 32, 16, 8, 2048, 512, 8192, 15),
    )


@pytest.fixture
def full_size(released_shapes: tuple[Shapes, Shapes]) -> tuple[Checkpoint, Checkpoint]:
    """The released models, all zeros in no memory."""
    tokenizer, transformer = (
        {key: torch.zeros(()).expand(s) for key, s in shapes.items()} for shapes in released_shapes
    )
    return tokenizer, transformer


@pytest.fixture
def published() -> Callable[..., tuple[Checkpoint, Checkpoint]]:
    """Function (sizes) -> (tokenizer, transformer)."""

    def make(
        *,
        d: int = 16,
        base: int = 24,
        multipliers: tuple[int, ...] = (1, 1, 1, 2, 2),
        res_blocks: int = 1,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        chunks: int = 2,
        text: int = 128,
        text_maxlen: int = 8,
        hidden: int = 256,
        levels: int = 15,
    ) -> tuple[Checkpoint, Checkpoint]:
        # Of 64 bits, the first is the sign.
        mask = torch.ones(d, dtype=torch.int64) << torch.arange(d - 1, -1, -1)
        masks = {"quantizer.lfq.mask": mask, "quantize.lfq.mask": mask.clone()}
        transformer = transformer_shapes(d, width, depth, heads, chunks, text, text_maxlen, hidden, levels)
        tokenizer = random_checkpoint(tokenizer_shapes(d, base, multipliers, res_blocks))
        return tokenizer | masks, random_checkpoint(transformer, 1)

    return make
