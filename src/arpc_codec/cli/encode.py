"""`arpc encode`: pictures to .arpc files."""

from __future__ import annotations

import time

import click

from arpc_codec.cli import common, folders, options
from arpc_codec.cli.log import Log
from arpc_codec.places import Place


@click.command()
@options.inputs
@options.output
@click.option("-k", "--scales", type=click.IntRange(min=1), metavar="K", help="Send the first K scales (all).")
@options.stages
@click.option("--target-bytes", type=click.IntRange(min=1), metavar="N", help="Largest file in bytes.")
@click.option("--target-bpp", type=float, metavar="X", help="Largest file in bits a pixel.")
@click.option(
    "--caption", default="", metavar="TEXT|auto", help="Stored in the file; auto: a captioner writes it (none)."
)
@click.option("-c", "--codec", type=click.Choice(["arpc", "progic", "hpac"]), help="Codec (arpc).")
@click.option("--lossless", is_flag=True, help="Every sample and its metadata come back: --codec hpac.")
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
    type=options.Number(min=0),
    metavar="G",
    help="Imported models: how far apart the logits of two machines may be (3e-4).",
)
@click.option("-m", "--model", metavar="NAME", help="Model (`arpc models list`); lossless-large: slower, smaller.")
@options.device
@options.folder
@options.jobs("Processes for the pictures of a folder, or threads for one lossless picture")
@click.option("--keep", default="", metavar="LIST", help="Metadata to store, of icc,exif,xmp (none; lossless: all).")
@click.option(
    "--alpha",
    default="keep",
    show_default=True,
    metavar="keep|drop|#rrggbb",
    help="Transparency: store it, forget it, or lay the picture over a colour.",
)
@options.max_pixels
@options.log
def encode(
    inputs: tuple[str, ...],
    out: str | None,
    out_dir: Place | None,
    force: bool,
    overwrite_input: bool,
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
    resume: bool,
    engine: str,
    address: str | None,
    jobs: int,
    keep: str,
    alpha: str,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Encode pictures; photo.png becomes photo.arpc unless -o or --out-dir say otherwise.

    Pictures are turned upright and converted to sRGB first, except with --lossless. IN may be -, for stdin, or with
    --out-dir a folder: all its pictures by suffix, those of its subfolders too, but no names that begin with a dot.
    """
    from arpc_codec.batch.encoding import Encoding
    from arpc_codec.container import Codec
    from arpc_codec.loading import DEFAULT_MODELS, choose, model_for
    from arpc_codec.rate import parts_wanted

    codec = choose(codec, lossless)
    encoding = Encoding(
        codec=codec,
        model=model or DEFAULT_MODELS[codec],
        scales=parts_wanted(Codec[codec.upper()], scales, stages),
        target_bytes=target_bytes,
        target_bpp=target_bpp,
        caption=caption,
        adapt=adapt,
        verify=verify,
        portable=portable,
        guard=guard,
        keep=keep,
        alpha=alpha,
        device=device,
        max_pixels=max_pixels,
    )
    outputs, log = common.Outputs(out, out_dir, force, skip_existing, overwrite_input), Log(quiet, verbose)
    how = folders.How(jobs, resume, engine, address)
    outputs.check(inputs)
    # Said once, before any picture is read; loading waits for the first that can be.
    model_for(codec, encoding.model)
    if folders.meant(inputs, outputs, how):
        from arpc_codec.imageio import suffixes

        return folders.run(inputs, suffixes(exact=codec == "hpac"), encoding, outputs, how, log)
    outputs.plan(inputs, encoding.suffix)

    def work(name: str) -> int:
        target = outputs.target(name, encoding.suffix)
        if outputs.skip(target):
            log.note(name, f"{target} exists, skipped")
            return 0
        start = time.perf_counter()
        made = encoding(common.read_bytes(name), jobs, log.part)
        outputs.write(made.data, target)
        log.note(name, "; ".join(made.notes))
        log.once(made.notes)
        size, where = len(made.data), target if target != common.STDIO else "stdout"
        bpp = f"{8 * size / (made.width * made.height):.4f} bpp"
        log.note(name, f"{made.width}x{made.height} -> {where}: {size} bytes, {bpp}, {made.summary}")
        log.detail(name, f"{time.perf_counter() - start:.2f} s with model {made.model}{_by(codec)}")
        return made.code

    return common.run_all(inputs, work, log)


def _by(codec: str) -> str:
    """What codes lossless pictures here: instructions that were compiled for, or numpy."""
    if codec != "hpac":
        return ""
    from arpc_codec import native

    return f", {native.version() or 'numpy'}"
