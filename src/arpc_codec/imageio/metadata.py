"""The metadata that a picture file carries."""

from __future__ import annotations

from PIL import Image

PREFIX = b"Exif\0\0"
_KNOWN_TEXTS = ("XML:com.adobe", "Raw profile type")


def raw_exif_of(image: Image.Image) -> bytes | None:
    """TIFF bytes of the EXIF block as stored; None when there is none."""
    raw = image.info.get("exif")
    return (raw.removeprefix(PREFIX) or None) if isinstance(raw, bytes) else None


def xmp_of(image: Image.Image) -> bytes | None:
    """The XMP packet; None when there is none."""
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(raw, str):
        raw = raw.encode()
    return raw if isinstance(raw, bytes) and raw else None


def dropped(image: Image.Image) -> list[str]:
    """Notes on what a file says about its picture and this codec has no place for."""
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"only the first of {frames} pictures in the file is used")
    texts = getattr(image, "text", None) or {}
    # Every JPEG 2000 encoder leaves its name as the comment.
    comment = image.info.get("comment") if image.format != "JPEG2000" else None
    if comment or any(not key.startswith(_KNOWN_TEXTS) for key in texts):
        notes.append("text comments dropped")
    resources = image.info.get("photoshop")
    if (isinstance(resources, dict) and 0x0404 in resources) or "Raw profile type iptc" in image.info:
        notes.append("IPTC dropped")
    if image.format == "TIFF" and any(tag in image.getexif() for tag in (0x8769, 0x8825)):
        notes.append("EXIF inside TIFF tags dropped")
    return notes
