"""`arpc verify`: decode, check every scale, compare with a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arpc_codec.cli import common
from arpc_codec.errors import ArpcError, FormatError, TruncatedError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from arpc_codec.codecs.hpac import ExactDecoded
    from arpc_codec.container import Container


@click.command()
@common.inputs_argument
@click.option("--against", metavar="IMG", help="Compare with this picture (one IN only): PSNR, or identity.")
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
    """Decode .arpc files and check the checkpoint of every scale or tile; exit 3 when damaged, 6 when cut.

    Of a lossless file --against says whether samples and metadata are identical; exit 1 when they are not.
    """
    if against is not None and len(inputs) > 1:
        raise UsageError("--against compares one file")
    log = common.Log(quiet, verbose)

    def work(name: str) -> int:
        from arpc_codec.container import read
        from arpc_codec.imageio import from_chunks
        from arpc_codec.loading import load_for, load_lossless

        container = read(common.read_bytes(name), max_pixels=max_pixels)
        header = container.header
        if header.lossless is not None:
            found = load_lossless(header.model_id, device).decode(container)
            parts, code = _lossless_parts(found, against, max_pixels)
            damaged = bool(found.damaged or not found.sound or not container.sound)
            return _report(name, "DAMAGED" if damaged else "", container, parts, code, quiet)
        extras = from_chunks(container.chunks, header.height, header.width)
        # Only a comparison needs the scales that were not sent.
        codec = load_for(header, device)
        decoded = codec.decode(container, fill=fill if against is not None else "none", seed=seed)
        parts = [f"{decoded.scales} of {header.scales} scales good"]
        if against is not None:
            keep_icc = extras.icc is not None
            parts.append(_compare(decoded.pixels, bool(header.colour), against, keep_icc, max_pixels))
        damage = f"scale {decoded.damaged[0]}" if decoded.damaged else extras.notes[0] if extras.notes else ""
        return _report(name, f"DAMAGED: {damage}" if damage else "", container, parts, 0, quiet)

    return common.run_all(inputs, work, log)


def _report(name: str, damage: str, container: Container, parts: list[str], code: int, quiet: bool) -> int:
    """One line on stdout; the exit code, which is `code` for a file that is whole and sound."""
    problem = damage or "ok"
    if container.truncated:
        problem, code = "TRUNCATED", TruncatedError.exit_code
    elif damage:
        code = FormatError.exit_code
    if code or not quiet:
        click.echo(f"{common.printable(common.shown(name))}: {problem}, {', '.join(parts)}")
    return code


def _lossless_parts(found: ExactDecoded, against: str | None, max_pixels: int) -> tuple[list[str], int]:
    """(what to say, exit code of a comparison)."""
    import numpy as np

    from arpc_codec.imageio import read_exact

    parts = [f"{len(found.damaged)} tiles lost" if found.damaged else "every tile good"]
    if against is None:
        return parts, 0
    try:
        original = read_exact(common.read_bytes(against), max_pixels=max_pixels)
    except (ArpcError, OSError) as error:
        raise ArpcError(f"{common.shown(against)}: {common.describe(error)[1]}") from error
    mine, theirs = found.picture, original
    if mine == theirs:
        return [*parts, "identical"], 0
    if mine.samples.shape != theirs.samples.shape or mine.bits != theirs.bits:
        parts.append("DIFFERENT size, channels or depth")
    elif count := int(np.count_nonzero(mine.samples != theirs.samples)):
        parts.append(f"{count} of {mine.samples.size} samples DIFFERENT")
    else:
        parts.append("samples identical, metadata DIFFERENT")
    return parts, ArpcError.exit_code


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
