"""Contact sheets: pictures of one size side by side, with text under each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 8
TEXT = 14
# Largest side of a picture made small for a sheet.
SIDE = 448

# A picture and two lines of text.
Cell = tuple[Image.Image, str, str]


def cell(pixels_hwc: np.ndarray, title: str, note: str) -> Cell:
    """uint8 pixels, made small where they are large."""
    picture = Image.fromarray(pixels_hwc)
    picture.thumbnail((SIDE, SIDE))
    return picture, title, note


def contact_sheet(cells: Sequence[Cell], columns: int) -> Image.Image:
    """Pictures of one size with two lines of text under each, row by row on white."""
    font = ImageFont.load_default(TEXT)
    under = 2 * (TEXT + 4)
    texts = [font.getbbox(line)[2] for _, *lines in cells for line in lines]
    width = max(cells[0][0].width, int(max(texts)) + 1) + GAP
    height = cells[0][0].height + under + GAP
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, *lines) in enumerate(cells):
        left, top = GAP + index % columns * width, GAP + index // columns * height
        sheet.paste(picture, (left, top))
        for row, line in enumerate(lines):
            draw.text((left, top + picture.height + 2 + row * (TEXT + 4)), line, fill="black", font=font)
    return sheet
