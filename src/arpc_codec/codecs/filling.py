"""How scales that were not sent are generated."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

from arpc_codec.errors import UsageError, whole_number

FILLS = ("mean", "argmax", "sample", "none")
# How strongly a caption draws what is generated with `argmax` and `sample`.
FILL_GUIDANCE = 3.0
MAX_GUIDANCE = 100.0
SEEDS = 1 << 63


@dataclass(frozen=True)
class Filling:
    """fill: expected codes (mean; of integers not beyond the first scale of the latent's size, as what is expected of
    finer steps is next to nothing), the likeliest, drawn ones (sample; seed: of these), or none.

    guidance: how strongly a caption that conditions the prior draws what is generated, up to 100 (None: 3 for argmax
    and sample, 1 for mean). Raises UsageError for what is none of these.
    """

    fill: str = "mean"
    seed: int = 0
    guidance: float | None = None

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise UsageError(f"fill must be one of {', '.join(FILLS)}, not {self.fill!r}")
        if not 0 <= whole_number("seed", self.seed) < SEEDS:
            raise UsageError(f"seed must be 0 or more, not {self.seed}")
        known = self.guidance is None or isinstance(self.guidance, Real)
        if not known or not 0 <= (self.guidance or 0) <= MAX_GUIDANCE:
            raise UsageError(f"guidance must be between 0 and {MAX_GUIDANCE:g}, not {self.guidance!r}")

    @property
    def strength(self) -> float:
        """Factor of the logits with the caption; those without have the rest of 1."""
        if self.guidance is not None:
            return self.guidance
        return 1.0 if self.fill == "mean" else FILL_GUIDANCE


MEAN = Filling()
