"""`arpc verify`: decode, check every scale or stage, compare with a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from arpc_codec.cli import common, options
from arpc_codec.cli.log import Log, printable, shown
from arpc_codec.codecs.filling import Filling
from arpc_codec.errors import ArpcError, FormatError, TruncatedError, UsageError, describe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from arpc_codec.imageio import ExactPicture

IDENTICAL = "samples identical, metadata identical"
Original = TypeVar("Original")


@click.command()
@options.inputs
@click.option("--against", metavar="IMG", help="Compare with this picture (one IN only): PSNR, or identity.")
@options.fill
@options.device
@options.jobs("Threads for one lossless picture")
@options.max_pixels
@options.log
def verify(
    inputs: tuple[str, ...],
    against: str | None,
    fill: str,
    seed: int,
    guidance: float | None,
    device: str,
    jobs: int,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Decode .arpc files and check every scale, stage or tile; exit 3 when damaged, 6 when cut or with holes.

    Scales of less than 16 tokens share a check, and the last of a small file have none: it says how many.
    Of a lossless file --against says of samples and of metadata whether they are identical, and what of IMG no .arpc
    file holds; exit 1 when anything differs or is not there.
    """
    if against is not None and len(inputs) > 1:
        raise UsageError("--against compares one file")
    if against == common.STDIO and common.STDIO in inputs:
        raise UsageError("stdin can be read only once")
    log = Log(quiet, verbose)

    def work(name: str) -> int:
        from arpc_codec.container import read
        from arpc_codec.hints import ignored_device
        from arpc_codec.imageio import from_chunks
        from arpc_codec.loading import load_for, load_lossless

        container = read(common.read_bytes(name), max_pixels=max_pixels)
        header = container.header
        if header.lossless is not None:
            log.note(name, "; ".join(ignored_device(device)))
            found = load_lossless(header.model_id, device).decode(container, progress=log.part, hands=jobs)
            said = found.cut or "every tile good" if not found.damage else ""
            difference = "" if against is None else _difference(found.picture, against, max_pixels)
            parts = [part for part in (said, difference) if part]
            code = ArpcError.exit_code if difference not in ("", IDENTICAL) else 0
            return _report(name, found.damage, container.truncated, parts, code, quiet)
        extras = from_chunks(container.chunks, header.height, header.width)
        # Only a comparison needs the scales that were not sent.
        codec = load_for(header, device)
        filling = Filling("none") if against is None else Filling(fill, seed, guidance)
        decoded = codec.decode(container, filling=filling)
        noun = header.codec.noun
        parts = [f"{decoded.scales} of {header.scales} {noun}s good"]
        if decoded.unchecked:
            parts.append(f"nothing checks the last {decoded.unchecked}")
        if against is not None:
            keep_icc = extras.icc is not None
            parts.append(_compare(decoded.pixels, bool(header.colour), against, keep_icc, max_pixels))
        damage = f"{noun} {decoded.damaged[0]}" if decoded.damaged else extras.notes[0] if extras.notes else ""
        return _report(name, damage, container.truncated, parts, 0, quiet, any(decoded.lost))

    return common.run_all(inputs, work, log)


def _report(
    name: str, damage: str, truncated: bool, parts: list[str], code: int, quiet: bool, holes: bool = False
) -> int:
    """One line on stdout; the exit code, which is `code` for a file that is whole and sound."""
    problem = "ok"
    if damage:
        problem, code = f"DAMAGED: {damage}", FormatError.exit_code
    elif truncated or holes:
        problem, code = "TRUNCATED" if truncated else "HOLES", TruncatedError.exit_code
    if code or not quiet:
        click.echo(f"{printable(shown(name))}: {', '.join((problem, *parts))}")
    return code


def _difference(picture: ExactPicture, against: str, max_pixels: int) -> str:
    """In what a lossless picture is not the one in a file; IDENTICAL when nothing of that file is missing."""
    import numpy as np

    from arpc_codec.container import METADATA
    from arpc_codec.imageio import read_exact

    original = _read(against, lambda data: read_exact(data, max_pixels=max_pixels))
    if (picture.bits, picture.samples.shape) != (original.bits, original.samples.shape):
        kinds = [
            f"{p.samples.shape[1]}x{p.samples.shape[0]}x{p.samples.shape[2]}x{p.bits}" for p in (picture, original)
        ]
        return f"DIFFERENT width x height x channels x bits: {kinds[0]} and {kinds[1]}"
    parts = ["samples identical"]
    if count := int(np.count_nonzero(picture.samples != original.samples)):
        parts = [f"{count} of {picture.samples.size} samples DIFFERENT"]
    kept, wanted = picture.metadata, original.metadata
    different = [name.upper() for name in METADATA if kept.get(name) != wanted.get(name)]
    parts.append(f"metadata DIFFERENT ({', '.join(different)})" if different else "metadata identical")
    if original.left_out:
        parts.append(f"NOT IN THE FILE: {'; '.join(original.left_out)}")
    return ", ".join(parts)


def _read(against: str, reader: Callable[[bytes], Original]) -> Original:
    """The picture to compare with; ArpcError that names it."""
    try:
        return reader(common.read_bytes(against))
    except (ArpcError, OSError) as error:
        raise ArpcError(f"{shown(against)}: {describe(error)[1]}") from error


def _compare(pixels: NDArray[np.uint8], grey: bool, against: str, keep_icc: bool, max_pixels: int) -> str:
    import numpy as np

    from arpc_codec.imageio import read, to_image
    from arpc_codec.metrics.psnr import psnr

    original = _read(against, lambda data: read(data, max_pixels=max_pixels, keep_icc=keep_icc)).pixels
    if original.shape != pixels.shape:
        sizes = " and ".join(f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, original.shape))
        raise ArpcError(f"sizes differ from {shown(against)}: {sizes}")
    return f"PSNR {psnr(original, np.asarray(to_image(pixels, None, grey).convert('RGB'))):.2f} dB"
