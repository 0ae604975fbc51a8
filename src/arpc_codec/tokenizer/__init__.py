"""Pixels <-> tokens."""

from ..scales import STRIDE
from .config import TokenizerConfig
from .multiscale import MultiScaleQuantizer, Quantized
from .network import Tokenizer, channels_last
from .planes import MultiScalePlanes
from .quantizer import MultiScaleBSQ

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
