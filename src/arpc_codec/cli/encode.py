"""`arpc encode`: pictures to .arpc files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from arpc_codec.cli import common
from arpc_codec.codecs.crew import Crew
from arpc_codec.errors import UsageError


class Result(NamedTuple):
    """A file, the size of its picture, and what to say about it."""

    data: bytes
    width: int
    height: int
    notes: tuple[str, ...]
    summary: str


@click.command()
@common.inputs_argument
@common.output_options
@click.option("-k", "--scales", type=click.IntRange(min=1), metavar="K", help="Send the first K scales (all).")
@common.stages_option
@click.option("--target-bytes", type=click.IntRange(min=1), metavar="N", help="Largest file in bytes.")
@click.option("--target-bpp", type=float, metavar="X", help="Largest file in bits a pixel.")
@click.option(
    "--caption", default="", metavar="TEXT|auto", help="Stored in the file; auto: a captioner writes it (none)."
)
@click.option("-c", "--codec", type=click.Choice(["arpc", "progic", "hpac"]), help="Codec (arpc).")
@click.option("--lossless", is_flag=True, help="Every sample and all metadata come back: --codec hpac.")
@click.option(
    "--adapt",
    type=click.IntRange(1, 10_000),
    is_flag=False,
    flag_value=200,
    metavar="[STEPS]",
    help="Lossless: fit the prior to the picture first (200 steps); slower, smaller.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Decode again, as differently as this machine can (on a GPU: the same way), and compare.",
)
@click.option("--portable", is_flag=True, help="Codec arpc: larger, but decoded without a prior, on any machine.")
@click.option(
    "--guard",
    type=click.FloatRange(min=0),
    metavar="G",
    help="Imported models: how far apart the logits of two machines may be (3e-4).",
)
@click.option("-m", "--model", metavar="NAME", help="Model (`arpc models list`; tiny, progic or lossless).")
@common.device_option
@common.jobs_option
@click.option("--keep", default="", metavar="LIST", help="Metadata to store, of icc,exif,xmp (none; lossless: all).")
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
    stages: int | None,
    target_bytes: int | None,
    target_bpp: float | None,
    caption: str,
    codec: str | None,
    lossless: bool,
    adapt: int | None,
    verify: bool,
    portable: bool,
    guard: float | None,
    model: str | None,
    device: str,
    jobs: int,
    keep: str,
    alpha: str,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Encode pictures; photo.png becomes photo.arpc unless -o or --out-dir say otherwise.

    Pictures are turned upright and converted to sRGB first, except with --lossless. IN may be -, for stdin.
    """
    from arpc_codec.container import Codec
    from arpc_codec.loading import AUTO_CAPTION, choose, model_for
    from arpc_codec.rate import parts_wanted, rate_bytes

    codec = choose(codec, lossless)
    scales = parts_wanted(Codec[codec.upper()], scales, stages)
    if codec == "hpac" and (scales, target_bytes, target_bpp, keep, alpha) != (None, None, None, "", "keep"):
        raise UsageError("a lossless file keeps everything: --scales, --target-*, --keep and --alpha do not apply")
    if codec != "hpac" and adapt is not None:
        raise UsageError("--adapt belongs to --lossless")
    if codec == "hpac" and caption == AUTO_CAPTION:
        raise UsageError("--caption auto does not belong to --lossless")
    if codec == "hpac" and verify:
        raise UsageError("a lossless file is verified with `arpc verify --against`")
    if codec != "arpc" and (portable or guard is not None):
        raise UsageError("--portable and --guard belong to --codec arpc")
    rate_bytes(1, 1, scales=scales, target_bytes=target_bytes, target_bpp=target_bpp)
    outputs, log = common.Outputs(out, out_dir, force, skip_existing), common.Log(quiet, verbose)
    outputs.check(inputs)
    # Said once, before any picture is read; loading waits for the first that can be.
    model = model_for(codec, model)
    crew = Crew(jobs)
    if codec == "hpac":
        code = _exactly(model, device, adapt or 0, caption, max_pixels, crew, log)
    else:
        limits = scales, target_bytes, target_bpp
        coding: dict[str, Any] = {"verify": verify}
        if codec == "arpc":
            coding |= {"portable": portable, "guard": guard}
        code = _progressively(codec, model, device, limits, caption, coding, keep, alpha, max_pixels)

    def work(name: str) -> int:
        target = outputs.target(name, ".arpc")
        if outputs.skip(target):
            log.note(name, f"{target} exists, skipped")
            return 0
        start = time.perf_counter()
        result = code(common.read_bytes(name))
        outputs.write(result.data, target)
        log.note(name, "; ".join(result.notes))
        size, where = len(result.data), target if target != common.STDIO else "stdout"
        bpp = f"{8 * size / (result.width * result.height):.4f} bpp"
        log.note(name, f"{result.width}x{result.height} -> {where}: {size} bytes, {bpp}, {result.summary}")
        log.detail(name, f"{time.perf_counter() - start:.2f} s with model {model}")
        return 0

    with crew:
        return common.run_all(inputs, work, log)


def _progressively(
    codec: str,
    model: str,
    device: str,
    limits: tuple[int | None, int | None, float | None],
    caption: str,
    coding: Mapping[str, Any],
    keep: str,
    alpha: str,
    max_pixels: int,
) -> Callable[[bytes], Result]:
    """A picture file -> its scales or stages; coding: other options of the codec's `encode`."""
    from arpc_codec.container import Codec
    from arpc_codec.imageio import apply_alpha, check_alpha, check_keep, read, to_chunks
    from arpc_codec.loading import caption_for, load
    from arpc_codec.rate import rate_bytes

    kept = tuple(name for name in keep.split(",") if name)
    check_keep(kept)
    check_alpha(alpha)
    scales, target_bytes, target_bpp = limits

    def code(data: bytes) -> Result:
        picture = apply_alpha(read(data, max_pixels=max_pixels, keep_icc="icc" in kept), alpha)
        chunks, more = to_chunks(picture, kept)
        height, width = picture.pixels.shape[:2]
        words = caption_for(caption, picture.pixels, model, device, codec)
        written = () if words == caption else (f'caption "{words}"',)
        encoded = load(model, device, codec).encode(
            picture.pixels,
            scales=scales,
            target_bytes=rate_bytes(height, width, scales=scales, target_bytes=target_bytes, target_bpp=target_bpp),
            caption=words,
            grey=picture.grey,
            chunks=chunks,
            **coding,
        )
        summary = f"{encoded.scales} of {encoded.total_scales} {Codec[codec.upper()].noun}s"
        return Result(encoded.data, width, height, (*picture.notes, *more, *written, *encoded.notes), summary)

    return code


def _exactly(
    model: str, device: str, adapt: int, caption: str, max_pixels: int, crew: Crew, log: common.Log
) -> Callable[[bytes], Result]:
    """A picture file -> all its samples."""
    from arpc_codec.imageio import read_exact
    from arpc_codec.loading import load_lossless

    def code(data: bytes) -> Result:
        picture = read_exact(data, max_pixels=max_pixels)
        height, width = picture.samples.shape[:2]
        crew.gather(height * width)
        file = load_lossless(model, device).encode(picture, adapt=adapt, caption=caption, progress=log.part, crew=crew)
        summary = f"lossless, {8 * len(file) / picture.samples.size:.4f} bits a sample"
        return Result(file, width, height, picture.notes, summary)

    return code
