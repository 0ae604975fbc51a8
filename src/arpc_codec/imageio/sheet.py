"""Contact sheets: pictures side by side, with text under each."""

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
    """Pictures with two lines of text under each, row by row on white."""
    font = ImageFont.load_default(TEXT)
    under = 2 * (TEXT + 4)
    texts = [font.getbbox(line)[2] for _, *lines in cells for line in lines]
    width = max(*(picture.width for picture, *_ in cells), int(max(texts)) + 1) + GAP
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(picture.height for picture, *_ in row) + under + GAP for row in rows]
    sheet = Image.new("RGB", (columns * width + GAP, sum(heights) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (picture, *lines) in enumerate(row):
            left = GAP + column * width
            sheet.paste(picture, (left, top))
            for line, text in enumerate(lines):
                draw.text((left, top + picture.height + 2 + line * (TEXT + 4)), text, fill="black", font=font)
        top += height
    return sheet
