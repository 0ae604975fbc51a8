"""Pixels <-> tokens."""

from ..scales import STRIDE
from .config import TokenizerConfig
from .multiscale import MultiScaleQuantizer, Quantized
from .multiscale_vq import MultiScaleVQ
from .network import Tokenizer, channels_last
from .quantizer import MultiScaleBSQ

__all__ = [
    "STRIDE",
    "MultiScaleBSQ",
    "MultiScaleQuantizer",
    "MultiScaleVQ",
    "Quantized",
    "Tokenizer",
    "TokenizerConfig",
    "channels_last",
]
