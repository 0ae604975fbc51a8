"""What the lossy codecs share: results, and the way between pixels and a latent of one sixteenth the size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from arpc_codec.codecs.tiles import Windows, views
from arpc_codec.container import Codec, Container, keep, write
from arpc_codec.errors import FormatError, ModelError, UsageError, whole_number
from arpc_codec.scales import STRIDE, latent_size
from arpc_codec.tile import Tile


@dataclass(frozen=True)
class Encoded:
    """A finished file and what went into it; `scales` counts scales or stages, here and below."""

    data: bytes
    scales: int
    total_scales: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """pixels: uint8 [H, W, 3], those asked for. scales: used, of `total_scales`; sent: declared in the file.

    damaged: numbers (from 1) of scales whose check failed; decoding stopped before the first of them.
    lost: of a file with holes, per stage used how many positions of the latent lack it.
    unchecked: how many of the last scales used are too small for a check byte behind them. filled: whether a prior has
    made up some of those that were not.
    """

    pixels: np.ndarray
    scales: int
    total_scales: int
    sent: int
    damaged: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    unchecked: int = 0
    filled: bool = False


def check_pixels(pixels_hw3: np.ndarray) -> None:
    """UsageError unless uint8 [H, W, 3]."""
    if pixels_hw3.dtype != np.uint8 or pixels_hw3.ndim != 3 or pixels_hw3.shape[2] != 3 or 0 in pixels_hw3.shape:
        raise UsageError(f"pixels must be uint8 [H, W, 3], not {pixels_hw3.dtype} {list(pixels_hw3.shape)}")


def to_send(asked: int | None, total: int, noun: str) -> tuple[int, tuple[str, ...]]:
    """(how many of `total` scales or stages to send, notes). UsageError for less than one."""
    if asked is None or asked <= total:
        if asked is not None and asked < 1:
            raise UsageError(f"at least one {noun} must be sent, not {asked}")
        return asked or total, ()
    return total, (f"this picture has {total} {noun}s; {asked} were asked for, all {total} are sent",)


def fit(whole: Container, target_bytes: int) -> Container:
    """The longest prefix of whole scales or stages that makes a file of at most `target_bytes`; UsageError for none."""
    size = 0
    for kept in range(whole.header.scales, 0, -1):
        shorter = keep(whole, kept)
        size = len(write(shorter))
        if size <= target_bytes:
            return shorter
    noun = whole.header.codec.noun
    raise UsageError(f"{target_bytes} bytes are too few: one {noun} of this picture takes {size}")


def check_file(container: Container, codec: Codec, model_id: int, scales: int | None) -> None:
    """What needs no weights to say that a file cannot be decoded as asked.

    Raises UsageError for a file of another codec and for scales that are no number from 1 on, ModelError for one of
    another model, FormatError when nothing has arrived.
    """
    header = container.header
    if scales is not None and whole_number("scales", scales) < 1:
        raise UsageError(f"at least one {codec.noun} must be decoded, not {scales}")
    if header.codec is not codec:
        raise UsageError(f"not an {codec.name.lower()}-codec file but {header.codec.name.lower()}")
    if header.model_id != model_id:
        raise ModelError(f"the file needs model id {header.model_id}, this is {model_id}")
    if not container.segments:
        raise FormatError(f"no complete {codec.noun} has arrived")


def whole_cells(pixels_bhw3: np.ndarray, cells: Tile) -> np.ndarray:
    """Some cells of pictures, in pixels; beyond the right and bottom edges these are repeated."""
    part = pixels_bhw3[(slice(None), *cells.times(STRIDE).window)]
    below, beside = cells.height * STRIDE - part.shape[1], cells.width * STRIDE - part.shape[2]
    return np.pad(part, ((0, 0), (0, below), (0, beside), (0, 0)), mode="edge")


def analyse(
    encoder: Callable[[Tensor], Tensor], pixels_bhw3: np.ndarray, device: torch.device, windows: Windows | None
) -> Tensor:
    """Latents [B, C, rows, cols], on the CPU, of pictures; without windows, whole and channels first."""
    grid = latent_size(*pixels_bhw3.shape[1:3])
    y: Tensor | None = None
    for inner, seen in views(grid, windows):
        x = torch.from_numpy(whole_cells(pixels_bhw3, seen)).permute(0, 3, 1, 2).to(device).float() / 127.5 - 1
        part = encoder(x.contiguous(memory_format=_order(windows))).cpu().float()
        if y is None:
            y = torch.empty(*part.shape[:2], *grid)
        y[(..., *inner.window)] = part[(..., *inner.within(seen).window)]
    assert y is not None
    return y


def synthesise(
    decoder: Callable[[Tensor], Tensor], z_bchw: Tensor, area: Tile, device: torch.device, windows: Windows | None
) -> np.ndarray:
    """The pixels uint8 [B, h, w, 3] in `area` of the pictures of latents; windows as in `analyse`."""
    pixels = np.empty((len(z_bchw), area.height, area.width, 3), np.uint8)
    for seen, found in touching(area, (z_bchw.shape[-2], z_bchw.shape[-1]), windows):
        z = z_bchw[(..., *seen.window)].to(device)
        image = decoder(z.contiguous(memory_format=_order(windows)))[(..., *found.within(seen.times(STRIDE)).window)]
        part = ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
        pixels[(slice(None), *found.within(area).window)] = part.numpy()
    return pixels


def touching(area: Tile, grid: tuple[int, int], windows: Windows | None) -> Iterator[tuple[Tile, Tile]]:
    """(what a window sees, its pixels in `area`) of windows that have any.

    Whole windows, as for the whole picture: in others the same convolutions may round in another way.
    """
    for inner, seen in views(grid, windows):
        if found := inner.times(STRIDE).meet(area):
            yield seen, found


def _order(windows: Windows | None) -> torch.memory_format:
    return torch.contiguous_format if windows is None else torch.channels_last
