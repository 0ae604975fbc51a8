"""Scale schedules: which token maps exist for a picture of any size."""

from .schedule import MAX_SCALES, Schedule, active_channels, raw_bits, scale_schedule

__all__ = ["MAX_SCALES", "Schedule", "active_channels", "raw_bits", "scale_schedule"]
