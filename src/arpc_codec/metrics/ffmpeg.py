"""The ffmpeg that the package imageio-ffmpeg carries."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def missing(listing: str, name: str) -> str | None:
    """Why ffmpeg lacks an encoder or filter, or None when it has it; `listing`: "-encoders" or "-filters"."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return "package imageio-ffmpeg is not installed"
    return _lacks(listing, name)


@lru_cache
def _lacks(listing: str, name: str) -> str | None:
    try:
        listed = run(command([listing])).stdout
    except (OSError, RuntimeError) as error:
        return f"ffmpeg does not run: {error}"
    return None if f" {name} ".encode() in listed else f"this ffmpeg has no {name}"


def command(arguments: Sequence[str], level: str = "error") -> list[str]:
    """The words of a command that runs ffmpeg; `level` of what it says on stderr."""
    import imageio_ffmpeg

    return [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-v", level, *arguments]


def run(command: Sequence[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Such a command with `data` on its stdin. Raises RuntimeError when it fails."""
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(said or f"ffmpeg ended with {done.returncode}")
    return done


def rgb_input(image: NDArray[np.uint8]) -> list[str]:
    """Arguments that read the bytes of a uint8 picture HxWx3 from stdin."""
    return ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{image.shape[1]}x{image.shape[0]}", "-i", "-"]
