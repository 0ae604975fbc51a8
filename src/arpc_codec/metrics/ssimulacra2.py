"""SSIMULACRA2 through the package `ssimulacra2`, a Python port: reported as "ssimulacra2-py".

The port agrees with the reference within 1.5 above score 50 and is up to 6 lower near -20.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def ssimulacra2_py(reference: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Score of two uint8 pictures HxWx3: 100 is the best, 50 medium quality, negative is possible."""
    from ssimulacra2 import compute_ssimulacra2

    return float(compute_ssimulacra2(_as_file(reference), _as_file(decoded)))


def _as_file(image: NDArray[np.uint8]) -> io.BytesIO:
    """The package opens files only, so that the arrays travel as BMP in memory."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "BMP")
    file.seek(0)
    return file
