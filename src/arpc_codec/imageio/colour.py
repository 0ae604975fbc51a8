"""Colours through ICC profiles."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

# A profile that moves no colour of the test cube by more than this is sRGB under another name.
_SAME = 2
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}


def without_profile(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, list[str]]:
    """(RGB, L or CMYK picture converted to sRGB if its profile allows, notes); a bad profile is only a note."""
    if icc is None:
        return image, []
    problem = profile_problem(icc, image.mode)
    if problem:
        return image, [problem]
    try:
        image, note = to_srgb(image, icc)
    except ImageCms.PyCMSError as error:
        return image, [f"ICC profile that cannot be applied ignored ({error})"]
    return image, [note] if note else []


def profile_problem(icc: bytes, mode: str) -> str | None:
    """Why a profile cannot be used with pixels of `mode` (RGB, L or CMYK); None when it can."""
    try:
        space = ImageCms.ImageCmsProfile(BytesIO(icc)).profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError, AttributeError) as error:
        return f"unreadable ICC profile ignored ({error})"
    if space != _SPACES[mode]:
        return f"ICC profile for {space} ignored: the picture is {_SPACES[mode]}"
    return None


def to_srgb(image: Image.Image, icc: bytes) -> tuple[Image.Image, str | None]:
    """RGB, L or CMYK picture -> (sRGB picture: RGB, or L for L, what was done).

    A profile that is sRGB already changes nothing. Raises ImageCms.PyCMSError for a profile that is only half there.
    """
    source = ImageCms.ImageCmsProfile(BytesIO(icc))
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if image.mode == "L":
        # Else grey goes through a coarse table, 10 levels off where samples are light itself.
        flags |= ImageCms.Flags.NOOPTIMIZE
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        image.mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=flags,
    )
    if image.mode != "CMYK" and _is_identity(transform, image.mode):
        return image, None
    # That is slow, so each level is converted once.
    levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    converted = ImageCms.applyTransform(levels if image.mode == "L" else image, transform)
    assert converted is not None
    name = " ".join(ImageCms.getProfileDescription(source).split())[:60]
    note = f"colours converted to sRGB from profile '{name}'"
    return (image.point(converted.getchannel(0).tobytes()) if image.mode == "L" else converted), note


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    if mode == "L":
        before = Image.fromarray(steps[None])
    else:
        before = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(9, 81, 3))
    after = ImageCms.applyTransform(before, transform)
    assert after is not None
    change = np.asarray(after, np.int16) - np.asarray(before.convert("RGB"), np.int16)
    return int(np.abs(change).max()) <= _SAME
