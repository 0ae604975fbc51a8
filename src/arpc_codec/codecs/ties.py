"""Indices that every machine chooses alike, though each rounds the encoder's sums in its own way.

A position whose latent lies next to the border between two entries is encoded once more in float64. What rounding can
still turn is then some 1e-15 wide instead of 1e-6.
"""

from __future__ import annotations

import copy
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from arpc_codec.codecs.lossy import whole_cells
from arpc_codec.scales import latent_size
from arpc_codec.tile import Tile
from arpc_codec.tokenizer.progic import Progic, ProgicEncoder, encoder_reach
from arpc_codec.tokenizer.residual_vq import VectorQuantized

# How far rounding may move a latent towards a border, in standard deviations of y: four of its own in the first stage
# and eight in the others (dev/LOG.md).
NOISE = 1e-5
# Error of a distance in float32, as a share of the largest squared entry.
ROUNDED = 1e-6


class Ties:
    """Finds and settles the close choices of one network."""

    def __init__(self, network: Progic) -> None:
        self.network, self.reach = network, encoder_reach(network.config)
        self.books = network.quantizer.codebooks.double().cpu().numpy()

    @cached_property
    def encoder(self) -> ProgicEncoder:
        """In float64; few pictures need it."""
        return copy.deepcopy(self.network.encoder).double().cpu()

    def settle(self, pixels_bhw3: np.ndarray, y_bchw: Tensor, quantized: VectorQuantized) -> np.ndarray:
        """Indices int64 [B, stages, H, W], chosen again where the choice was close.

        pixels: uint8. quantized: of y, float32.
        """
        indices = quantized.indices.cpu().numpy()
        for picture, row, column in self.close(y_bchw.cpu().numpy(), indices, quantized.leads.cpu().numpy()):
            residual = self.latent(pixels_bhw3[picture], row, column)
            for stage, book in enumerate(self.books[: indices.shape[1]]):
                chosen = (book**2 / 2 - book * residual).sum(1).argmin()
                indices[picture, stage, row, column] = chosen
                residual = residual - book[chosen]
        return indices

    def close(self, y_bchw: np.ndarray, indices: np.ndarray, leads: np.ndarray) -> list[tuple[int, int, int]]:
        """(picture, row, column) where another entry would be chosen if y moved by the noise."""
        noise = NOISE * float(y_bchw.std())
        largest = (self.books**2).sum(2).max(1)[: indices.shape[1], None, None]
        found = set()
        # Leads are rough, but no border that is nearer than the noise leaves a larger one.
        for picture, stage, row, column in np.argwhere(
            leads < 2 * noise * np.sqrt(largest) + ROUNDED * largest
        ).tolist():
            before = indices[picture, :stage, row, column]
            residual = y_bchw[picture, :, row, column] - self.books[np.arange(stage), before].sum(0)
            if _border(self.books[stage], residual, indices[picture, stage, row, column]) < noise:
                found.add((picture, row, column))
        return sorted(found)

    @torch.inference_mode()
    def latent(self, pixels_hw3: np.ndarray, row: int, column: int) -> np.ndarray:
        """[C] float64 of one position, from the part of the picture that it depends on."""
        rows, cols = latent_size(*pixels_hw3.shape[:2])
        top, left = max(0, row - self.reach), max(0, column - self.reach)
        bottom, right = min(rows, row + self.reach + 1), min(cols, column + self.reach + 1)
        cells = whole_cells(pixels_hw3[None], Tile(top, left, bottom - top, right - left))
        x = torch.from_numpy(cells).permute(0, 3, 1, 2).double() / 127.5 - 1
        y: np.ndarray = self.encoder(x)[0, :, row - top, column - left].numpy()
        return y


def _border(book: np.ndarray, residual: np.ndarray, chosen: int) -> float:
    """Distance from a residual to the nearest plane that separates its entry from another; negative beyond it."""
    lead = ((book**2 - book[chosen] ** 2) / 2 - (book - book[chosen]) * residual).sum(1)
    apart = np.sqrt(((book - book[chosen]) ** 2).sum(1))
    others = apart > 0
    return float((lead[others] / apart[others]).min()) if others.any() else np.inf
