"""Picture distances: as measures for the bench, and LPIPS and VGG features as losses too."""


class NotMeasurable(ValueError):
    """A measure cannot judge this picture (too small, or flat)."""
