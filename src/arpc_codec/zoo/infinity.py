"""Published Infinity checkpoints -> our modules. Strict: a key that is not understood is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError
from ..prior.config import PriorConfig
from ..prior.transformer import VAR

# Buffers of old training code: recomputed, never weights.
_IGNORED = {"lvl_1L", "attn_bias_for_masking", "Infinity_visible_kvlen", "Infinity_invisible_qlen"}

_TOP = {
    "cfg_uncond": "text.uncond",
    "pos_start": "pos_start",
    "text_norm.weight": "text.norm.weight",
    "text_proj_for_sos.ca.mat_q": "text.pool.query",
    "text_proj_for_sos.ca.v_bias": "text.pool.kv.v_bias",
    "text_proj_for_sos.ca.mat_kv.weight": "text.pool.kv.linear.weight",
    "text_proj_for_sos.ca.proj.weight": "text.pool.proj.weight",
    "text_proj_for_sos.ca.proj.bias": "text.pool.proj.bias",
    "text_proj_for_ca.0.weight": "text.memory.0.weight",
    "text_proj_for_ca.0.bias": "text.memory.0.bias",
    "text_proj_for_ca.2.weight": "text.memory.2.weight",
    "text_proj_for_ca.2.bias": "text.memory.2.bias",
    "lvl_embed.weight": "lvl_embed.weight",
    "word_embed.weight": "word_embed.weight",
    "word_embed.bias": "word_embed.bias",
    "shared_ada_lin.1.weight": "shared_ada.weight",
    "shared_ada_lin.1.bias": "shared_ada.bias",
    "head_nm.ada_lin.1.weight": "head_ada.weight",
    "head_nm.ada_lin.1.bias": "head_ada.bias",
    "head.weight": "head.weight",
    "head.bias": "head.bias",
}
_BLOCK = {
    "ada_gss": "ada_gss",
    "sa.scale_mul_1H11": "sa.log_scale",
    "sa.q_bias": "sa.q_bias",
    "sa.v_bias": "sa.v_bias",
    "sa.mat_qkv.weight": "sa.qkv.weight",
    "sa.proj.weight": "sa.proj.weight",
    "sa.proj.bias": "sa.proj.bias",
    "ca.v_bias": "ca.kv.v_bias",
    "ca.mat_q.weight": "ca.q.weight",
    "ca.mat_q.bias": "ca.q.bias",
    "ca.mat_kv.weight": "ca.kv.linear.weight",
    "ca.proj.weight": "ca.proj.weight",
    "ca.proj.bias": "ca.proj.bias",
    "ffn.fc1.weight": "ffn.0.weight",
    "ffn.fc1.bias": "ffn.0.bias",
    "ffn.fc2.weight": "ffn.2.weight",
    "ffn.fc2.bias": "ffn.2.bias",
    "ca_norm.weight": "ca_norm.weight",
    "ca_norm.bias": "ca_norm.bias",
}
_CHUNKED = re.compile(r"block_chunks\.(\d+)\.module\.(\d+)\.(.+)")
_FLAT = re.compile(r"blocks\.(\d+)\.(.+)")


class _BlockKey(NamedTuple):
    chunk: int
    block: int
    rest: str


def transformer_state(state: Mapping[str, Tensor]) -> tuple[PriorConfig, dict[str, Tensor]]:
    """Config and state dict of `VAR` for a flat published transformer file.

    Raises ModelError naming every missing, surplus or misshapen key of the file.
    """
    renamed, surplus = _rename(state)
    config = _config(renamed)
    with torch.device("meta"):
        wanted = {key: tensor.shape for key, tensor in VAR(config).state_dict().items()}
    names = {ours: theirs for ours, (theirs, _) in renamed.items()}
    missing = sorted(wanted.keys() - renamed.keys())
    surplus += sorted(names[key] for key in renamed.keys() - wanted.keys())
    misshapen: list[str] = []
    result: dict[str, Tensor] = {}
    for key in wanted.keys() & renamed.keys():
        theirs, tensor = renamed[key]
        # Their parameters carry broadcast axes of length one.
        if [n for n in tensor.shape if n > 1] == [n for n in wanted[key] if n > 1]:
            result[key] = tensor.reshape(wanted[key])
        else:
            misshapen.append(f"{theirs} {tuple(tensor.shape)} instead of {tuple(wanted[key])}")
    _raise_if(missing=missing, surplus=surplus, misshapen=sorted(misshapen))
    return config, result


def _rename(state: Mapping[str, Tensor]) -> tuple[dict[str, tuple[str, Tensor]], list[str]]:
    """Our name -> (their name, tensor), and the keys that nothing is known about."""
    per_chunk = _blocks_per_chunk(state)
    renamed: dict[str, tuple[str, Tensor]] = {}
    surplus: list[str] = []
    for key, tensor in state.items():
        if key in _IGNORED:
            continue
        if key.endswith(".zero_k_bias"):
            if torch.count_nonzero(tensor):
                raise ModelError(f"transformer checkpoint: {key} is not zero, unlike any known build")
            continue
        block = _block_key(key)
        if block is None:
            ours = _TOP.get(key)
        else:
            ours = _BLOCK.get(block.rest)
            ours = ours and f"blocks.{block.chunk * per_chunk + block.block}.{ours}"
        if ours is None:
            surplus.append(key)
        else:
            renamed[ours] = (key, tensor)
    return renamed, sorted(surplus)


def _block_key(key: str) -> _BlockKey | None:
    if match := _CHUNKED.fullmatch(key):
        return _BlockKey(int(match[1]), int(match[2]), match[3])
    if match := _FLAT.fullmatch(key):
        return _BlockKey(0, int(match[1]), match[2])
    return None


def _blocks_per_chunk(state: Mapping[str, Tensor]) -> int:
    """Chunks must be equally full: block number = chunk * blocks per chunk + index."""
    members: dict[int, set[int]] = {}
    for key in state:
        if block := _block_key(key):
            members.setdefault(block.chunk, set()).add(block.block)
    counts = {len(indices) for indices in members.values()}
    if len(counts) != 1 or any(indices != set(range(len(indices))) for indices in members.values()):
        raise ModelError("transformer checkpoint: its blocks do not form equal chunks numbered from 0")
    return counts.pop()


def _config(renamed: Mapping[str, tuple[str, Tensor]]) -> PriorConfig:
    """Sizes read off the tensors that show them."""
    needed = {
        "word_embed.weight": 2,
        "text.uncond": 2,
        "lvl_embed.weight": 2,
        "blocks.0.sa.log_scale": 4,
        "blocks.0.ffn.0.weight": 2,
    }
    _raise_if(missing=[key for key in needed if key not in renamed])
    shapes = {key: tuple(renamed[key][1].shape) for key in needed}
    wrong = [f"{renamed[key][0]} {shapes[key]}" for key, rank in needed.items() if len(shapes[key]) != rank]
    _raise_if(misshapen=wrong)
    embed_dim, d = shapes["word_embed.weight"]
    text_maxlen, text_channels = shapes["text.uncond"]
    heads = shapes["blocks.0.sa.log_scale"]
    return PriorConfig(
        d=d,
        embed_dim=embed_dim,
        depth=1 + max(int(key.split(".")[1]) for key in renamed if key.startswith("blocks.")),
        num_heads=heads[1] * heads[2],
        mlp_ratio=shapes["blocks.0.ffn.0.weight"][0] / embed_dim,
        text_channels=text_channels,
        text_maxlen=text_maxlen,
        scale_embed="index",
        rope_grid="published",
        max_levels=shapes["lvl_embed.weight"][0],
    )


def _raise_if(**problems: Sequence[str]) -> None:
    found = [f"{kind}: {', '.join(keys)}" for kind, keys in problems.items() if keys]
    if found:
        raise ModelError("transformer checkpoint: " + "; ".join(found))
