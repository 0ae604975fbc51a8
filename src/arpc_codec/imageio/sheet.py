"""Contact sheets: pictures of one size side by side, with text under each."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 8
TEXT = 14


def contact_sheet(cells: Sequence[tuple[Image.Image, str, str]], columns: int) -> Image.Image:
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
