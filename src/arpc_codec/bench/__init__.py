"""Side-by-side runs of this package's codecs and the codecs people use, on real file bytes."""

from arpc_codec.openmp import wait_passively

# Its modules are commands of their own, and import torch.
wait_passively()
