"""Held-out pictures through a tokenizer in training: numbers for the log, and a sheet to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from arpc_codec.train.data import Photos, to_tensor
from arpc_codec.train.loop import Metrics
from arpc_codec.train.losses import ReconstructionLoss

SHEET_SIDE = 256
# Decoded versions [B, 3, H, W] of a batch, by name, in the order of the sheet.
Reconstruct = Callable[[Tensor], dict[str, Tensor]]


def whole_photos(held: Photos, count: int = 6) -> list[np.ndarray]:
    """The first pictures of which a 512x384 (upright) part can be cut."""
    pictures = [p if p.shape[0] >= p.shape[1] else np.rot90(p) for p in held.at_least(384).pictures]
    return [np.ascontiguousarray(p[:512, :384]) for p in pictures if p.shape[0] >= 512][:count]


@torch.no_grad()
def judge(reconstruct: Reconstruct, criterion: ReconstructionLoss, held: Photos, device: torch.device | str) -> Metrics:
    """Mean PSNR, LPIPS-Alex and LPIPS-Squeeze of every version of the held-out photos; none without photos."""
    photos = whole_photos(held)
    result: Metrics = {}
    for photo in photos:
        x = to_tensor([photo], device)
        for name, x_hat in reconstruct(x).items():
            x_hat = x_hat.float().clamp(-1, 1)
            psnr = -10 * float(torch.log10((x_hat - x).square().mean() / 4))
            values = {
                "psnr": psnr,
                "alex": criterion.alex(x_hat, x).item(),
                "squeeze": criterion.squeeze(x_hat, x).item(),
            }
            for metric, value in values.items():
                key = f"val_{metric}_{name}"
                result[key] = result.get(key, 0.0) + value / len(photos)
    return result


@torch.no_grad()
def save_sheet(
    reconstruct: Reconstruct, held: Photos, target: Path, device: torch.device | str, count: int = 4
) -> None:
    """PNG with a row per photo: the original, then every version."""
    rows = []
    for picture in held.at_least(SHEET_SIDE).pictures[:count]:
        crop = np.ascontiguousarray(picture[:SHEET_SIDE, :SHEET_SIDE])
        row = [crop]
        for x_hat in reconstruct(to_tensor([crop], device)).values():
            bytes_chw = ((x_hat[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            row.append(bytes_chw.permute(1, 2, 0).cpu().numpy())
        rows.append(np.concatenate(row, 1))
    if rows:
        Image.fromarray(np.concatenate(rows)).save(target)
