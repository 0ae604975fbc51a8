"""`arpc verify`: decode, check every scale, compare with a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arpc_codec.cli import common
from arpc_codec.errors import ArpcError, FormatError, TruncatedError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@click.command()
@common.inputs_argument
@click.option("--against", metavar="IMG", help="Report the PSNR against this picture (one IN only).")
@common.fill_options
@common.device_option
@common.max_pixels_option
@common.log_options
def verify(
    inputs: tuple[str, ...],
    against: str | None,
    fill: str,
    seed: int,
    device: str,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Decode .arpc files and check the checkpoint of every scale; exit 3 when damaged, 6 when cut."""
    if against is not None and len(inputs) > 1:
        raise UsageError("--against compares one file")
    log = common.Log(quiet, verbose)

    def work(name: str) -> int:
        from arpc_codec.container import read
        from arpc_codec.imageio import from_chunks
        from arpc_codec.loading import load_for

        container = read(common.read_bytes(name), max_pixels=max_pixels)
        header = container.header
        extras = from_chunks(container.chunks, header.height, header.width)
        # Only a comparison needs the scales that were not sent.
        codec = load_for(header, device)
        decoded = codec.decode(container, fill=fill if against is not None else "none", seed=seed)
        parts = [f"{decoded.scales} of {header.scales} scales good"]
        if against is not None:
            keep_icc = extras.icc is not None
            parts.append(_compare(decoded.pixels, bool(header.colour), against, keep_icc, max_pixels))
        problem, code = "ok", 0
        if decoded.damaged:
            problem, code = f"DAMAGED: scale {decoded.damaged[0]}", FormatError.exit_code
        elif extras.notes:
            problem, code = f"DAMAGED: {extras.notes[0]}", FormatError.exit_code
        elif container.truncated:
            problem, code = "TRUNCATED", TruncatedError.exit_code
        if code or not quiet:
            click.echo(f"{common.printable(common.shown(name))}: {problem}, {', '.join(parts)}")
        return code

    return common.run_all(inputs, work, log)


def _compare(pixels: NDArray[np.uint8], grey: bool, against: str, keep_icc: bool, max_pixels: int) -> str:
    import numpy as np

    from arpc_codec.imageio import read, to_image
    from arpc_codec.metrics.psnr import psnr

    try:
        original = read(common.read_bytes(against), max_pixels=max_pixels, keep_icc=keep_icc).pixels
    except (ArpcError, OSError) as error:
        raise ArpcError(f"{common.shown(against)}: {common.describe(error)[1]}") from error
    if original.shape != pixels.shape:
        sizes = " and ".join(f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, original.shape))
        raise ArpcError(f"sizes differ from {common.shown(against)}: {sizes}")
    return f"PSNR {psnr(original, np.asarray(to_image(pixels, None, grey).convert('RGB'))):.2f} dB"
