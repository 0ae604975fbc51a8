"""Pixels <-> tokens."""

from .config import TokenizerConfig
from .network import STRIDE, Tokenizer
from .quantizer import MultiScaleBSQ, Quantized

__all__ = ["STRIDE", "MultiScaleBSQ", "Quantized", "Tokenizer", "TokenizerConfig"]
