"""Published Infinity tokenizers -> `Tokenizer` with the network `pyramid`. Strict, as infinity.py."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.scales.resample import WEIGHT_BITS
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.zoo.checkpoint import fitted, in_order, refuse
from arpc_codec.zoo.folder import Tensors

# Where a file may keep its weights.
NESTINGS = (("vae",), ("ema",))
# Fine enough for sums within 2e-6 of the published ones, in float32.
GRID_BITS = 2 * WEIGHT_BITS

# Part of our name -> theirs, in this order.
_RENAMED = (
    (r"coder\.stem\.", r"coder.conv_in."),
    (r"coder\.norm\.", r"coder.norm_out."),
    (r"coder\.out\.", r"coder.conv_out."),
    (r"encoder\.levels\.(\d+)\.resample\.", r"encoder.down.\1.downsample.conv."),
    (r"decoder\.levels\.(\d+)\.resample\.", r"decoder.up.\1.upsample.conv."),
    (r"encoder\.levels\.(\d+)\.blocks\.", r"encoder.down.\1.block."),
    (r"decoder\.levels\.(\d+)\.blocks\.", r"decoder.up.\1.block."),
    (r"\.mid\.0\.", r".mid.block_1."),
    (r"\.mid\.1\.", r".mid.block_2."),
    (r"\.shortcut\.", r".nin_shortcut."),
)
_MASKS = ("quantizer.lfq.mask", "quantize.lfq.mask")
_ENCODER_BLOCK = re.compile(r"encoder\.down\.(\d{1,4})\.block\.(\d{1,4})\.conv1(?:\.conv)?\.weight")
_DECODER_BLOCK = re.compile(r"decoder\.up\.(\d{1,4})\.block\.(\d{1,4})\.conv1(?:\.conv)?\.weight")


def tokenizer_state(checkpoint: Mapping[str, Tensor]) -> tuple[TokenizerConfig, Tensors]:
    """Config and state dict of `Tokenizer` for a flat published tokenizer file; what no file holds is at its default.

    Raises ModelError naming every missing, surplus or misshapen key of the file.
    """
    state = dict(checkpoint)
    wrapped = "encoder.conv_in.conv.weight" in state
    config = _config(state, wrapped)
    _check_masks(state, config.channels)
    with torch.device("meta"):
        wanted = {ours: tensor.shape for ours, tensor in Tokenizer(config).state_dict().items()}
    names = {ours: _published(ours, wrapped) for ours in wanted if not ours.startswith("quantizer.")}
    weights = fitted("tokenizer", state, names, wanted)
    # All ones: the published codes have one magnitude at every scale.
    return config, weights | {"quantizer.gain_knots": torch.ones(wanted["quantizer.gain_knots"])}


def _published(ours: str, wrapped: bool) -> str:
    """Their name of a weight; with the wrapper level, layer.weight is layer.conv.weight or layer.norm.weight."""
    theirs = ours
    for pattern, replacement in _RENAMED:
        theirs = re.sub(pattern, replacement, theirs)
    layer, _, parameter = theirs.rpartition(".")
    if not wrapped:
        return theirs
    return f"{layer}.{'norm' if re.search(r'norm[12]$|norm_out$', layer) else 'conv'}.{parameter}"


def _check_masks(state: dict[str, Tensor], channels: int) -> None:
    """Take out the weights 2^(d-1) ... 1 of an integer index, which bits do not need."""
    powers = torch.bitwise_left_shift(torch.ones((), dtype=torch.int64), torch.arange(channels - 1, -1, -1))
    for key in _MASKS:
        mask = state.pop(key, powers)
        if not torch.equal(mask, powers):
            raise ModelError(f"tokenizer checkpoint: {key} is not that of {channels} bits")


def _config(state: Mapping[str, Tensor], wrapped: bool) -> TokenizerConfig:
    """Sizes read off the tensors that show them."""
    stem_key, out_key = _published("encoder.stem.weight", wrapped), _published("encoder.out.weight", wrapped)
    refuse("tokenizer", missing={stem_key, out_key} - state.keys())
    refuse(
        "tokenizer",
        misshapen=[f"{key} {tuple(state[key].shape)}" for key in (stem_key, out_key) if not _rows(state[key])],
    )
    encoder, decoder = _levels(state, _ENCODER_BLOCK), _levels(state, _DECODER_BLOCK)
    return TokenizerConfig(
        channels=_rows(state[out_key]),
        encoder_stem=_rows(state[stem_key]),
        encoder_widths=tuple(widths[0] for widths in encoder),
        encoder_depths=tuple(len(widths) for widths in encoder),
        decoder_widths=tuple(widths[0] for widths in decoder),
        decoder_depths=tuple(len(widths) for widths in decoder),
        learned_gains=False,
        grid_bits=GRID_BITS,
        network="pyramid",
    )


def _levels(state: Mapping[str, Tensor], block: re.Pattern[str]) -> list[list[int]]:
    """Widths of the residual blocks of every level, finest first."""
    levels: dict[int, dict[int, int]] = {}
    for key, tensor in state.items():
        if match := block.fullmatch(key):
            levels.setdefault(int(match[1]), {})[int(match[2])] = _rows(tensor)
    ordered = in_order(levels)
    if not ordered:
        raise ModelError("tokenizer checkpoint: its levels and blocks are not numbered from 0")
    return ordered


def _rows(weight: Tensor) -> int:
    """Channels that a convolution gives."""
    return weight.shape[0] if weight.ndim else 0
