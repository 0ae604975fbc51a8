"""Pixels <-> tokens."""

from .config import TokenizerConfig
from .network import STRIDE, Tokenizer, channels_last
from .quantizer import MultiScaleBSQ, Quantized

__all__ = ["STRIDE", "MultiScaleBSQ", "Quantized", "Tokenizer", "TokenizerConfig", "channels_last"]
