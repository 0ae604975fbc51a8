"""`arpc preview`: the progressive steps of a file on one sheet."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import click

from arpc_codec.cli import common, options
from arpc_codec.cli.log import Log
from arpc_codec.codecs.filling import Filling
from arpc_codec.errors import FormatError, TruncatedError, UsageError
from arpc_codec.files import is_stream


@click.command()
@options.source
@click.option(
    "-o", "--output", "out", metavar="OUT", type=options.Name(), help="PNG file, - is stdout (IN-preview.png)."
)
@click.option("--columns", type=click.IntRange(1, 15), default=4, show_default=True, help="Pictures a row.")
@click.option(
    "--cell", type=click.IntRange(48, 4096), default=384, show_default=True, help="Longest side of one picture."
)
@options.fill
@options.force
@options.device
@options.max_pixels
@options.log
def preview(
    source: str,
    out: str | None,
    columns: int,
    cell: int,
    fill: str,
    seed: int,
    guidance: float | None,
    force: bool,
    overwrite_input: bool,
    device: str,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Make one PNG with the picture after every scale or stage, its bytes and bits a pixel under each.

    Of codec arpc, where scales are missing, a map is added: white is what was sent, black what was guessed.
    """
    outputs, log = common.Outputs(out, None, force, overwrite_input=overwrite_input), Log(quiet, verbose)
    outputs.check((source,))

    def work(name: str) -> int:
        import arpc_codec
        from arpc_codec.batch.decoding import lacking
        from arpc_codec.container import Codec, read, truncate
        from arpc_codec.imageio import to_image
        from arpc_codec.imageio.sheet import contact_sheet
        from arpc_codec.loading import load_for

        target = outputs.target(name, "-preview.png")
        outputs.skip(target)
        if Path(target).suffix.lower() not in ("", ".png") and not is_stream(target):
            raise UsageError(f"a sheet is a PNG file, {target} would not be one")
        data = common.read_bytes(name)
        container = read(data, max_pixels=max_pixels)
        header, noun = container.header, container.header.codec.noun
        if header.lossless is not None:
            raise UsageError("a lossless file has no steps to show")
        cells = []
        for step in load_for(header, device).steps(container, filling=Filling(fill, seed, guidance)):
            size = len(truncate(data, scales=step.scales, max_pixels=max_pixels))
            bpp = 8 * size / (header.width * header.height)
            picture = to_image(step.pixels, None, bool(header.colour)).convert("RGB")
            picture.thumbnail((cell, cell))
            cells.append((picture, f"k = {step.scales}", f"{size} B   {bpp:.4f} bpp"))
        if not cells:
            raise FormatError(f"the first {noun} is damaged")
        panels = list(cells)
        if header.codec is Codec.ARPC and step.scales < step.total_scales:
            share = arpc_codec.certainty(
                data, scales=step.scales, device=device, allow_truncated=True, max_pixels=max_pixels
            ).convert("RGB")
            share.thumbnail((cell, cell))
            panels.append((share, f"sent with k = {step.scales}", "white: sent   black: guessed"))
        file = BytesIO()
        contact_sheet(panels, min(columns, len(panels))).save(file, "PNG")
        outputs.write(file.getvalue(), target)
        there = len(container.segments)
        if len(cells) < there:
            log.error(name, f"{noun} {len(cells) + 1} is damaged: sheet written up to {noun} {len(cells)}")
            return FormatError.exit_code
        log.note(name, f"-> {target if target != common.STDIO else 'stdout'}: {len(cells)} steps")
        if lost := lacking(container, step):
            log.error(name, f"{lost}; sheet written")
            return TruncatedError.exit_code
        return 0

    return common.run_all((source,), work, log)
