"""What the lossy codecs share: results, and the way between pixels and a latent of one sixteenth the size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..container import Codec, Container, keep, write
from ..errors import FormatError, ModelError, UsageError
from ..scales import STRIDE, latent_size
from .tiles import Windows, windowed


@dataclass(frozen=True)
class Encoded:
    """A finished file and what went into it; `scales` counts scales or stages, here and below."""

    data: bytes
    scales: int
    total_scales: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """pixels: uint8 [H, W, 3]. scales: used, of `total_scales`; sent: declared in the file.

    damaged: numbers (from 1) of scales whose check failed; decoding stopped before the first of them.
    lost: of a file with holes, per stage used how many positions of the latent lack it.
    """

    pixels: np.ndarray
    scales: int
    total_scales: int
    sent: int
    damaged: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()


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

    Raises UsageError for a file of another codec and for scales < 1, ModelError for one of another model, FormatError
    when nothing has arrived.
    """
    header = container.header
    if scales is not None and scales < 1:
        raise UsageError(f"at least one {codec.noun} must be decoded, not {scales}")
    if header.codec is not codec:
        raise UsageError(f"not an {codec.name.lower()}-codec file but {header.codec.name.lower()}")
    if header.model_id != model_id:
        raise ModelError(f"the file needs model id {header.model_id}, this is {model_id}")
    if not container.segments:
        raise FormatError(f"no complete {codec.noun} has arrived")


def whole_cells(pixels_bhw3: np.ndarray) -> np.ndarray:
    """Pictures whose right and bottom edges are repeated to whole cells."""
    height, width = pixels_bhw3.shape[1:3]
    rows, cols = latent_size(height, width)
    pad = ((0, 0), (0, rows * STRIDE - height), (0, cols * STRIDE - width), (0, 0))
    return np.pad(pixels_bhw3, pad, mode="edge")


def analyse(
    encoder: Callable[[Tensor], Tensor], pixels_bhw3: np.ndarray, device: torch.device, windows: Windows | None
) -> Tensor:
    """Latents [B, C, rows, cols], on the CPU, of pictures of whole cells; without windows, whole and channels first."""
    x = torch.from_numpy(pixels_bhw3).permute(0, 3, 1, 2)
    grid = (x.shape[-2] // STRIDE, x.shape[-1] // STRIDE)

    def run(part: Tensor) -> Tensor:
        part = part.to(device).float() / 127.5 - 1
        return encoder(part.contiguous(memory_format=_order(windows))).cpu()

    return windowed(run, x, grid, STRIDE, 1, windows).float().contiguous()


def synthesise(
    decoder: Callable[[Tensor], Tensor],
    z_bchw: Tensor,
    size: tuple[int, int],
    device: torch.device,
    windows: Windows | None,
) -> np.ndarray:
    """Pictures uint8 [B, *size, 3] of latents; windows as in `analyse`."""
    height, width = size

    def run(part: Tensor) -> Tensor:
        image = decoder(part.to(device).contiguous(memory_format=_order(windows)))
        return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()

    grid = (z_bchw.shape[-2], z_bchw.shape[-1])
    images = windowed(run, z_bchw, grid, 1, STRIDE, windows)[..., :height, :width]
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def _order(windows: Windows | None) -> torch.memory_format:
    return torch.contiguous_format if windows is None else torch.channels_last
