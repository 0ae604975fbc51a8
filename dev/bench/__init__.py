"""Measurements for those who develop the codecs: commands of a checkout, which are not installed."""

from arpc_codec.openmp import wait_passively

# Its modules import torch.
wait_passively()
