"""Scale schedules: which token maps exist for a picture of any size."""

from arpc_codec.scales.schedule import (
    MAX_SCALES,
    STRIDE,
    Schedule,
    active_channels,
    halved_schedule,
    latent_size,
    raw_bits,
    scale_schedule,
    scales_shown,
)

__all__ = [
    "MAX_SCALES",
    "STRIDE",
    "Schedule",
    "active_channels",
    "halved_schedule",
    "latent_size",
    "raw_bits",
    "scale_schedule",
    "scales_shown",
]
