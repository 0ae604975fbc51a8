"""`arpc encode`: pictures to .arpc files."""

from __future__ import annotations

import time
from pathlib import Path

import click

from arpc_codec.cli import common
from arpc_codec.errors import UsageError


@click.command()
@common.inputs_argument
@common.output_options
@click.option("-k", "--scales", type=click.IntRange(min=1), metavar="K", help="Send the first K scales (all).")
@click.option("--target-bytes", type=click.IntRange(min=1), metavar="N", help="Largest file in bytes.")
@click.option("--target-bpp", type=float, metavar="X", help="Largest file in bits a pixel.")
@click.option("--caption", default="", metavar="TEXT", help="Stored in the file and shown by `arpc info`.")
@click.option(
    "-c", "--codec", type=click.Choice(["arpc", "progic", "hpac"]), default="arpc", show_default=True, help="Codec."
)
@click.option("-m", "--model", default="tiny", show_default=True, metavar="NAME", help="Model (`arpc models list`).")
@common.device_option
@click.option("--keep", default="", metavar="LIST", help="Metadata to store, of icc,exif,xmp (none).")
@click.option(
    "--alpha",
    default="keep",
    show_default=True,
    metavar="keep|drop|#rrggbb",
    help="Transparency: store it, forget it, or lay the picture over a colour.",
)
@common.max_pixels_option
@common.log_options
def encode(
    inputs: tuple[str, ...],
    out: str | None,
    out_dir: Path | None,
    force: bool,
    skip_existing: bool,
    scales: int | None,
    target_bytes: int | None,
    target_bpp: float | None,
    caption: str,
    codec: str,
    model: str,
    device: str,
    keep: str,
    alpha: str,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Encode pictures; photo.png becomes photo.arpc unless -o or --out-dir say otherwise.

    Pictures are turned upright and converted to sRGB first. IN may be -, for stdin.
    """
    from arpc_codec.rate import rate_bytes

    if codec != "arpc":
        raise UsageError(f"codec {codec} is not in this version: only arpc is")
    rate_bytes(1, 1, scales=scales, target_bytes=target_bytes, target_bpp=target_bpp)
    kept = tuple(name for name in keep.split(",") if name)
    outputs, log = common.Outputs(out, out_dir, force, skip_existing), common.Log(quiet, verbose)
    outputs.check(inputs)

    from arpc_codec.imageio import apply_alpha, check_alpha, check_keep, read, to_chunks
    from arpc_codec.loading import load
    from arpc_codec.zoo.registry import find

    check_keep(kept)
    check_alpha(alpha)
    # Said once, before any picture is read; loading waits for the first that can be.
    find(model)

    def work(name: str) -> int:
        target = outputs.target(name, ".arpc")
        if outputs.skip(target):
            log.note(name, f"{target} exists, skipped")
            return 0
        start = time.perf_counter()
        source = read(common.read_bytes(name), max_pixels=max_pixels, keep_icc="icc" in kept)
        picture = apply_alpha(source, alpha)
        chunks, more = to_chunks(picture, kept)
        height, width = picture.pixels.shape[:2]
        encoded = load(model, device).encode(
            picture.pixels,
            scales=scales,
            target_bytes=rate_bytes(height, width, scales=scales, target_bytes=target_bytes, target_bpp=target_bpp),
            caption=caption,
            grey=picture.grey,
            chunks=chunks,
        )
        outputs.write(encoded.data, target)
        log.note(name, "; ".join((*picture.notes, *more, *encoded.notes)))
        size = len(encoded.data)
        log.note(
            name,
            f"{width}x{height} -> {target if target != common.STDIO else 'stdout'}: {size} bytes, "
            f"{8 * size / (width * height):.4f} bpp, {encoded.scales} of {encoded.total_scales} scales",
        )
        log.detail(name, f"{time.perf_counter() - start:.2f} s with model {model}")
        return 0

    return common.run_all(inputs, work, log)
