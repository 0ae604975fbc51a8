"""ProGIC stages <-> segments: coded by the model's prior where that is shorter, else packed (formats/arpc-v1.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from arpc_codec.codecs.stages import check_byte, index_bits, pack_stage, packed_size, read_stage, write_stage
from arpc_codec.entropy.symbols import SymbolDecoder, SymbolEncoder
from arpc_codec.errors import FormatError
from arpc_codec.exact.indices import ExactIndexPrior
from arpc_codec.exact.threads import one_thread
from arpc_codec.zoo.progic import ProgicModel


def write_stages(model: ProgicModel, indices_shw: np.ndarray) -> Iterator[bytes]:
    """The segments of all stages of a picture, each the shorter of its two forms; packed when they are equal."""
    entries = model.network.config.entries
    for stage, indices_hw in enumerate(indices_shw):
        segment = write_stage(indices_hw, entries, model.fingerprint, stage)
        if model.prior is not None:
            stream = _encode(model.prior, list(indices_shw[:stage]), indices_hw)
            if len(stream) + 1 < len(segment):
                segment = stream + segment[-1:]
        yield segment


def read_next(
    model: ProgicModel, before: Sequence[np.ndarray], segment: bytes, shape: tuple[int, int], holes: bool = False
) -> np.ndarray:
    """int32 indices [rows, cols] of the stage behind those `before`, in the form that its length tells.

    With `holes` the form is packed.

    Raises FormatError for what `write_stages` cannot have written.
    """
    entries, stage = model.network.config.entries, len(before)
    if holes or model.prior is None or not 0 < len(segment) < packed_size(shape, entries):
        return read_stage(segment, shape, entries, model.fingerprint, stage, holes)
    indices_hw = _decode(model.prior, before, segment[:-1], shape)
    if segment[-1:] != check_byte(pack_stage(indices_hw, index_bits(entries)), model.fingerprint, stage):
        raise FormatError("the check byte is wrong")
    return indices_hw


@one_thread()
def _encode(prior: ExactIndexPrior, before: Sequence[np.ndarray], indices_hw: np.ndarray) -> bytes:
    encoder = SymbolEncoder()

    def choose(probabilities: Tensor, symbols: Tensor | None) -> Tensor:
        assert symbols is not None
        encoder.encode(symbols.to(torch.int32).numpy(), probabilities.numpy())
        return symbols

    prior.code(_flat(before), indices_hw.shape, choose, _flat([indices_hw])[0])
    return encoder.shortest()


@one_thread()
def _decode(prior: ExactIndexPrior, before: Sequence[np.ndarray], stream: bytes, shape: tuple[int, int]) -> np.ndarray:
    decoder, again = SymbolDecoder(stream), SymbolEncoder()

    def choose(probabilities: Tensor, symbols: Tensor | None) -> Tensor:
        found = decoder.decode(probabilities.numpy())
        again.encode(found, probabilities.numpy())
        return torch.from_numpy(found).to(torch.int64)

    indices_p = prior.code(_flat(before), shape, choose, None)
    if again.shortest() != stream:
        raise FormatError("the coded bits are not what an encoder writes")
    return indices_p.view(shape).to(torch.int32).numpy()


def _flat(stages: Sequence[np.ndarray]) -> list[Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(indices_hw, np.int64)).flatten() for indices_hw in stages]
