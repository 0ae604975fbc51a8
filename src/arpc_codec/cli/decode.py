"""`arpc decode`: .arpc files to pictures."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from arpc_codec.cli import common, folders, options
from arpc_codec.cli.log import Log
from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.files import is_stream, make_folder
from arpc_codec.places import Place
from arpc_codec.tile import Region

_FORMATS = ["png", "ppm", "pgm", "webp", "jpeg", "tiff", "pam"]


class Rectangle(click.ParamType):
    """Four numbers: left, top, width and height in pixels."""

    name = "region"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Region:
        """Fails for anything else."""
        found = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", value, re.ASCII)
        if not found:
            self.fail(f"{value!r} is not X,Y,W,H: left, top, width and height in pixels.", param, ctx)
        left, top, width, height = map(int, found.groups())
        return left, top, width, height


@click.command()
@options.inputs
@options.output
@click.option("-k", "--scales", type=click.IntRange(min=1), metavar="K", help="Use the first K scales (all).")
@options.stages
@click.option(
    "--steps",
    type=options.Folder(),
    metavar="DIR",
    help="Write the picture after every scale into DIR.",
)
@options.fill
@click.option(
    "--certainty",
    type=options.Name(),
    metavar="MAP",
    help="Also write a grey PNG of how much was sent (white) or guessed (black) where; one IN only.",
)
@click.option(
    "--region",
    type=Rectangle(),
    metavar="X,Y,W,H",
    help="Only these pixels: left, top, width, height. Faster, and the same as cut out of the whole picture.",
)
@click.option(
    "--thumbnail",
    type=click.IntRange(min=1),
    metavar="N",
    help="Make the picture small: sides of at most N pixels, from the scales that show then.",
)
@click.option("--format", type=click.Choice(_FORMATS), help="Picture format (by the name of OUT, or png).")
@click.option("--allow-truncated", is_flag=True, help="Exit 0, not 6, for a file that is cut short or has holes.")
@options.device
@options.folder
@options.jobs("Processes for the files of a folder, or threads for one lossless picture")
@options.max_pixels
@options.log
def decode(
    inputs: tuple[str, ...],
    out: str | None,
    out_dir: Place | None,
    force: bool,
    overwrite_input: bool,
    skip_existing: bool,
    scales: int | None,
    stages: int | None,
    steps: Path | None,
    fill: str,
    seed: int,
    guidance: float | None,
    certainty: str | None,
    region: Region | None,
    thumbnail: int | None,
    format: str | None,
    allow_truncated: bool,
    device: str,
    resume: bool,
    engine: str,
    address: str | None,
    jobs: int,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Decode .arpc files; photo.arpc becomes photo.png unless -o or --out-dir say otherwise.

    A file that is cut short or damaged gives the picture of its good scales, stages or tiles, and exit code 6 or 3.
    One with holes (see packets) gives a picture without, and exit code 6.
    With --steps and neither -o nor --out-dir only the steps are written. IN may be -, for stdin, or with --out-dir a
    folder: all its .arpc files, those of its subfolders too, but no names that begin with a dot.
    """
    outputs, log = common.Outputs(out, out_dir, force, skip_existing, overwrite_input), Log(quiet, verbose)
    how = folders.How(jobs, resume, engine, address)
    outputs.check(inputs)
    maps = common.Outputs(certainty, None, force, overwrite_input=overwrite_input)
    if certainty is not None:
        if len(inputs) > 1:
            raise UsageError("--certainty is of one file")
        if region is not None:
            raise UsageError("--certainty is of the whole picture, not of a --region")
        maps.check(inputs)
    if skip_existing and (steps is not None or certainty is not None):
        raise UsageError("--skip-existing does not belong to --steps and --certainty")
    given = click.get_current_context().get_parameter_source
    filling = tuple(f"--{name}" for name in ("fill", "guidance") if given(name) is ParameterSource.COMMANDLINE)

    from arpc_codec.batch.decoding import SUFFIXES, Decoding

    if format is None:
        from arpc_codec.imageio import format_of

        # Of the streams pipes may have a name that says something.
        if out is None or out == common.STDIO or (is_stream(out) and not Path(out).suffix):
            format = "png"
        else:
            format = format_of(out, tuple(SUFFIXES))
    decoding = Decoding(
        format=format,
        scales=scales,
        stages=stages,
        fill=fill,
        seed=seed,
        guidance=guidance,
        region=region,
        thumbnail=thumbnail,
        allow_truncated=allow_truncated,
        filling=filling,
        device=device,
        max_pixels=max_pixels,
    )
    if folders.meant(inputs, outputs, how):
        if steps is not None or certainty is not None:
            raise UsageError("--steps and --certainty do not belong to folders, --resume and --engine ray")
        return folders.run(inputs, (".arpc",), decoding, outputs, how, log)
    only_steps = steps is not None and out is None and out_dir is None
    if not only_steps:
        outputs.plan(inputs, decoding.suffix)

    def work(name: str) -> int:
        target = outputs.target(name, decoding.suffix)
        if not only_steps and outputs.skip(target):
            log.note(name, f"{target} exists, skipped")
            return 0
        if certainty is not None:
            if not only_steps and os.path.realpath(certainty) == os.path.realpath(target):
                raise UsageError(f"{certainty} cannot be both the picture and its --certainty")
            maps.skip(certainty)
        if steps is not None:
            others = [path for path in (None if only_steps else target, certainty) if path is not None]
            _check_steps(steps, step_path(name, 0), others, outputs)
        start = time.perf_counter()
        step = None if steps is None else lambda number, file: write_step(name, number, file)
        data = common.read_bytes(name)
        if certainty is not None:
            _check_guessed(data, max_pixels)
        made = decoding(data, jobs, log.part, step)
        if not only_steps:
            outputs.write(made.data, target)
        if certainty is not None:
            file = _certainty(data, scales=made.parts, device=device, max_pixels=max_pixels)
            maps.write(file, certainty)
        where = str(steps) if only_steps else "stdout" if target == common.STDIO else target
        log.note(name, "; ".join(made.notes))
        log.note(name, f"{made.width}x{made.height} -> {where}: {made.summary}")
        log.detail(name, f"{time.perf_counter() - start:.2f} s with model {made.model}")
        if made.problem:
            log.error(name, made.problem)
        return made.code

    def write_step(name: str, number: int, file: bytes) -> None:
        assert steps is not None
        make_folder(steps)
        outputs.write(file, step_path(name, number))

    step_owners: dict[str, str] = {}

    def step_path(name: str, number: int) -> str:
        assert steps is not None
        stem = "stdin" if name == common.STDIO else Path(name).stem
        other = step_owners.setdefault(stem, name)
        if other != name:
            raise ArpcError(f"the steps in {steps} named {stem}-* are those of {other} already")
        return str(steps / f"{stem}-{number:02d}{decoding.suffix}")

    return common.run_all(inputs, work, log)


def _check_steps(folder: Path, like: str, others: Sequence[str], outputs: common.Outputs) -> None:
    """Raises UsageError for other results that would be steps, named as `like`, ArpcError for steps in the way."""
    stem, suffix = like.rpartition("-")[0], Path(like).suffix
    named = re.compile(re.escape(Path(stem).name) + r"-\d{2,}" + re.escape(suffix))
    for other in others:
        if os.path.realpath(Path(other).parent) == os.path.realpath(folder) and named.fullmatch(Path(other).name):
            raise UsageError(f"{other} would be one of the --steps")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if named.fullmatch(path.name):
            outputs.skip(str(path))


def _check_guessed(data: bytes, max_pixels: int) -> None:
    from arpc_codec.container import Codec, read

    if read(data, max_pixels=max_pixels).header.codec is not Codec.ARPC:
        raise UsageError("only in files of codec arpc is anything guessed, for --certainty to show")


def _certainty(data: bytes, **options: Any) -> bytes:
    """A PNG of how much was sent of each cell; what there is of a file that is cut short."""
    from io import BytesIO

    import arpc_codec

    file = BytesIO()
    arpc_codec.certainty(data, allow_truncated=True, **options).save(file, "PNG")
    return file.getvalue()
