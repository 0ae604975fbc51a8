"""Bits and probabilities <-> bytes: the range coder behind checked arrays."""

from arpc_codec.entropy.bits import PROBABILITY_BITS, BitDecoder, BitEncoder, bits_cost
from arpc_codec.entropy.checkpoint import checkpoint, crc8, crc8_start, packed_checkpoint
from arpc_codec.entropy.packing import pack_bits, unpack_bits

__all__ = [
    "PROBABILITY_BITS",
    "BitDecoder",
    "BitEncoder",
    "bits_cost",
    "checkpoint",
    "crc8",
    "crc8_start",
    "pack_bits",
    "packed_checkpoint",
    "unpack_bits",
]
