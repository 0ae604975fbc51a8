"""Bits and probabilities <-> bytes: constriction's range coder behind checked arrays."""

from arpc_codec.entropy.bits import PROBABILITY_BITS, BitDecoder, BitEncoder, bits_cost
from arpc_codec.entropy.checkpoint import checkpoint

__all__ = ["PROBABILITY_BITS", "BitDecoder", "BitEncoder", "bits_cost", "checkpoint"]
