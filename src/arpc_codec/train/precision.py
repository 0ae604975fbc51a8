"""Which precision a run trains in: bfloat16 is twice as fast as float32 on some processors, far slower on others."""

from __future__ import annotations

import time
from functools import cache

import torch
from torch import nn

# How much faster it must be to be worth its rounding.
GAIN = 1.25
TRIES = 24


@cache
def bfloat16_pays(device_type: str) -> bool:
    """Whether convolutions, forwards and backwards, are clearly faster under autocast; measured on a CPU."""
    if device_type != "cpu":
        return True
    convolution = nn.Conv2d(96, 96, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(4, 96, 32, 32).contiguous(memory_format=torch.channels_last)

    def seconds(enabled: bool) -> float:
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = convolution(x)
        y.float().square().sum().backward()
        return time.perf_counter() - begin

    # In turn, so that what else runs on the machine hits both alike.
    pairs = [(seconds(False), seconds(True)) for _ in range(TRIES)]
    plain, halved = (min(times) for times in zip(*pairs, strict=True))
    return plain > GAIN * halved
