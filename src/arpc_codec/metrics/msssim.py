"""Multi-scale SSIM through the package pytorch-msssim (RGB, 11-tap window, no padding)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from arpc_codec.metrics import NotMeasurable

SMALLEST_SIDE = 161


def ms_ssim(reference: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """MS-SSIM of two uint8 pictures HxWx3. Raises NotMeasurable when a side is under 161 pixels."""
    # Here, so that the package's other measures work without it.
    from pytorch_msssim import ms_ssim as measure

    if min(reference.shape[:2]) < SMALLEST_SIDE:
        raise NotMeasurable(f"MS-SSIM needs sides of {SMALLEST_SIDE} pixels or more")
    a_bchw, b_bchw = (torch.from_numpy(np.array(x)).permute(2, 0, 1)[None].float() for x in (reference, decoded))
    return float(measure(a_bchw, b_bchw, data_range=255, size_average=True))
