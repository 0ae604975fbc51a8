"""Published Infinity transformers -> `VAR`. Strict: a key that is not understood is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.linear import matrices
from arpc_codec.prior.transformer import VAR
from arpc_codec.zoo.checkpoint import fitted, in_order, refuse
from arpc_codec.zoo.folder import Tensors

# Where a file may keep its weights; a slim one is flat.
NESTINGS = (("trainer", "gpt_fsdp"), ("trainer", "gpt_wo_ddp"))

# Buffers of old training code: recomputed, never weights.
_IGNORED = {"lvl_1L", "attn_bias_for_masking", "Infinity_visible_kvlen", "Infinity_invisible_qlen"}

# Our name -> theirs.
_TOP = {
    "text.uncond": "cfg_uncond",
    "pos_start": "pos_start",
    "text.norm.weight": "text_norm.weight",
    "text.pool.query": "text_proj_for_sos.ca.mat_q",
    "text.pool.kv.v_bias": "text_proj_for_sos.ca.v_bias",
    "text.pool.kv.linear.weight": "text_proj_for_sos.ca.mat_kv.weight",
    "text.pool.proj.weight": "text_proj_for_sos.ca.proj.weight",
    "text.pool.proj.bias": "text_proj_for_sos.ca.proj.bias",
    "text.memory.0.weight": "text_proj_for_ca.0.weight",
    "text.memory.0.bias": "text_proj_for_ca.0.bias",
    "text.memory.2.weight": "text_proj_for_ca.2.weight",
    "text.memory.2.bias": "text_proj_for_ca.2.bias",
    "lvl_embed.weight": "lvl_embed.weight",
    "word_embed.weight": "word_embed.weight",
    "word_embed.bias": "word_embed.bias",
    "shared_ada.weight": "shared_ada_lin.1.weight",
    "shared_ada.bias": "shared_ada_lin.1.bias",
    "head_ada.weight": "head_nm.ada_lin.1.weight",
    "head_ada.bias": "head_nm.ada_lin.1.bias",
    "head.weight": "head.weight",
    "head.bias": "head.bias",
}
_BLOCK = {
    "ada_gss": "ada_gss",
    "sa.log_scale": "sa.scale_mul_1H11",
    "sa.q_bias": "sa.q_bias",
    "sa.v_bias": "sa.v_bias",
    "sa.qkv.weight": "sa.mat_qkv.weight",
    "sa.proj.weight": "sa.proj.weight",
    "sa.proj.bias": "sa.proj.bias",
    "ca.kv.v_bias": "ca.v_bias",
    "ca.q.weight": "ca.mat_q.weight",
    "ca.q.bias": "ca.mat_q.bias",
    "ca.kv.linear.weight": "ca.mat_kv.weight",
    "ca.proj.weight": "ca.proj.weight",
    "ca.proj.bias": "ca.proj.bias",
    "ffn.0.weight": "ffn.fc1.weight",
    "ffn.0.bias": "ffn.fc1.bias",
    "ffn.2.weight": "ffn.fc2.weight",
    "ffn.2.bias": "ffn.fc2.bias",
    "ca_norm.weight": "ca_norm.weight",
    "ca_norm.bias": "ca_norm.bias",
}
# Biases of keys, of self-attention, cross-attention and pooling: buffers that are always zero.
_ZERO_KEY_BIAS = re.compile(r"(?:.+\.)?(?:sa|ca)\.zero_k_bias")
_CHUNKED = re.compile(r"(block_chunks\.(\d{1,4})\.module\.(\d{1,4}))\..+")
_FLAT = re.compile(r"(blocks\.(\d{1,4}))\..+")


def transformer_state(checkpoint: Mapping[str, Tensor]) -> tuple[PriorConfig, Tensors]:
    """Config and state dict of `VAR` for a flat published transformer file; what no file holds is at its default.

    Raises ModelError naming every missing, surplus or misshapen key of the file.
    """
    state = {key: tensor for key, tensor in checkpoint.items() if key not in _IGNORED}
    for key in [key for key in state if _ZERO_KEY_BIAS.fullmatch(key)]:
        if torch.count_nonzero(state.pop(key)):
            raise ModelError(f"transformer checkpoint: {key} is not zero, unlike any known build")
    blocks = _blocks(state)
    config = _config(state, blocks)
    with torch.device("meta"):
        wanted = {ours: tensor.shape for ours, tensor in VAR(config).state_dict().items()}
    names = _TOP | {
        f"blocks.{i}.{ours}": f"{block}.{theirs}" for i, block in enumerate(blocks) for ours, theirs in _BLOCK.items()
    }
    return config, fitted("transformer", state, names, wanted)


def rounded(config: PriorConfig, weights: Tensors) -> Tensors:
    """The weights of `VAR` with its matrices in bfloat16."""
    with torch.device("meta"):
        narrow = matrices(VAR(config))
    return {name: tensor.bfloat16() if name in narrow else tensor for name, tensor in weights.items()}


def _blocks(state: Mapping[str, Tensor]) -> list[str]:
    """Their names of the blocks in order: block number = chunk * blocks of a chunk + index."""
    members: dict[int, dict[int, str]] = {}
    for key in state:
        if match := _CHUNKED.fullmatch(key):
            members.setdefault(int(match[2]), {})[int(match[3])] = match[1]
        elif match := _FLAT.fullmatch(key):
            members.setdefault(0, {})[int(match[2])] = match[1]
    chunks = in_order(members)
    if not chunks or len({len(chunk) for chunk in chunks}) > 1:
        raise ModelError("transformer checkpoint: its blocks do not form equal chunks numbered from 0")
    return [block for chunk in chunks for block in chunk]


def _config(state: Mapping[str, Tensor], blocks: Sequence[str]) -> PriorConfig:
    """Sizes read off the tensors that show them."""
    heads_key, hidden_key = f"{blocks[0]}.sa.scale_mul_1H11", f"{blocks[0]}.ffn.fc1.weight"
    ranks = {"word_embed.weight": 2, "cfg_uncond": 2, "lvl_embed.weight": 2, heads_key: 4, hidden_key: 2}
    refuse("transformer", missing=ranks.keys() - state.keys())
    shapes = {key: tuple(state[key].shape) for key in ranks}
    refuse(
        "transformer",
        misshapen=[f"{key} {shape}" for key, shape in shapes.items() if len(shape) != ranks[key] or 0 in shape],
    )
    embed_dim, d = shapes["word_embed.weight"]
    text_maxlen, text_channels = shapes["cfg_uncond"]
    return PriorConfig(
        d=d,
        embed_dim=embed_dim,
        depth=len(blocks),
        num_heads=shapes[heads_key][1] * shapes[heads_key][2],
        mlp_ratio=shapes[hidden_key][0] / embed_dim,
        text_channels=text_channels,
        text_maxlen=text_maxlen,
        max_levels=shapes["lvl_embed.weight"][0],
    )
