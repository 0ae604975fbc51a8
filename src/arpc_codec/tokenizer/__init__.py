"""Pixels <-> tokens."""

from arpc_codec.scales import STRIDE
from arpc_codec.tokenizer.config import TokenizerConfig
from arpc_codec.tokenizer.multiscale import MultiScaleQuantizer, Quantized
from arpc_codec.tokenizer.network import Tokenizer, channels_last
from arpc_codec.tokenizer.planes import MultiScalePlanes
from arpc_codec.tokenizer.quantizer import MultiScaleBSQ

__all__ = [
    "STRIDE",
    "MultiScaleBSQ",
    "MultiScalePlanes",
    "MultiScaleQuantizer",
    "Quantized",
    "Tokenizer",
    "TokenizerConfig",
    "channels_last",
]
