"""Child process of the imitation matrix: print a digest of every probability and token that files decode through.

usage: matrix_worker.py [FLAG...] MODEL FILE...; flags: --mutate --noise --float64 --no-onednn --autocast
--one-query --one-chunk
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import torch
from worker import arguments, imitate

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.container import read
from arpc_codec.exact import fixed, prior
from arpc_codec.exact.prior import ExactPrior
from arpc_codec.tokenizer.progic import ProgicDecoder, ProgicEncoder


def main() -> None:
    """Decode each file with fill and print one digest for all."""
    flags, words = arguments()
    model, *files = words
    if "--one-query" in flags:
        prior.SCORE_ELEMENTS = 1
    if "--one-chunk" in flags:
        prior.SCORE_ELEMENTS = 1 << 40
    if "--mutate" in flags:
        # One exact layer becomes its float twin: bfloat16 as some machines take for float32, weights off the grid, no
        # snapping. Coding is in one thread; that several share a sum is imitated.
        parts = 2 if os.environ.get("OMP_NUM_THREADS") == "2" else 1

        def float_twin(self: fixed.ExactLinear, x: torch.Tensor) -> torch.Tensor:
            weight = (self.weight.float() * 1.0001).bfloat16()
            pairs = zip(x.bfloat16().chunk(parts, -1), weight.chunk(parts), strict=True)
            units = sum((a @ b).float() for a, b in pairs) + self.bias.float()
            return units.double() * 2.0**-fixed.ACTIVATION_BITS

        fixed.ExactLinear.__call__ = float_twin  # type: ignore[method-assign]
    if "--noise" in flags:
        # Everything outside exact/ may differ from machine to machine; tokens must not care.
        for network in (ProgicEncoder, ProgicDecoder):
            plain = network.forward

            def noisy(self: torch.nn.Module, *args: torch.Tensor, plain=plain) -> torch.Tensor:
                y = plain(self, *args)
                return y + 1e-3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(7)).to(y.dtype)

            network.forward = noisy  # type: ignore[method-assign]
    digest = hashlib.sha256()
    counts = ExactPrior.counts

    def logged(self: ExactPrior, logits: torch.Tensor) -> torch.Tensor:
        result = counts(self, logits)
        digest.update(result.to(torch.int32).numpy().tobytes())
        return result

    ExactPrior.counts = logged  # type: ignore[method-assign]
    codec = ArpcCodec.load(model)
    with imitate(flags):
        for name in files:
            decoded = codec.decode(read(Path(name).read_bytes()))
            if decoded.damaged and "--mutate" not in flags:
                sys.exit(f"{name}: scales {decoded.damaged} did not decode")
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
