"""`arpc decode`: .arpc files to pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from arpc_codec.cli import common
from arpc_codec.codecs.crew import Crew
from arpc_codec.errors import ArpcError, FormatError, TruncatedError, UsageError

if TYPE_CHECKING:
    from arpc_codec.codecs.lossy import Decoded
    from arpc_codec.container import Container

_SUFFIX = {"png": ".png", "ppm": ".ppm", "webp": ".webp", "jpeg": ".jpg", "tiff": ".tif", "pam": ".pam"}


@click.command()
@common.inputs_argument
@common.output_options
@click.option("-k", "--scales", type=click.IntRange(min=1), metavar="K", help="Use the first K scales (all).")
@common.stages_option
@click.option(
    "--steps",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the picture after every scale into DIR.",
)
@common.fill_options
@click.option("--format", type=click.Choice(list(_SUFFIX)), help="Picture format (by the name of OUT, or png).")
@click.option("--allow-truncated", is_flag=True, help="Exit 0, not 6, for a file that is cut short or has holes.")
@common.device_option
@common.jobs_option
@common.max_pixels_option
@common.log_options
def decode(
    inputs: tuple[str, ...],
    out: str | None,
    out_dir: Path | None,
    force: bool,
    skip_existing: bool,
    scales: int | None,
    stages: int | None,
    steps: Path | None,
    fill: str,
    seed: int,
    guidance: float | None,
    format: str | None,
    allow_truncated: bool,
    device: str,
    jobs: int,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Decode .arpc files; photo.arpc becomes photo.png unless -o or --out-dir say otherwise.

    A file that is cut short or damaged gives the picture of its good scales, stages or tiles, and exit code 6 or 3.
    One with holes (see packets) gives a picture without, and exit code 6.
    With --steps and neither -o nor --out-dir only the steps are written. IN may be -, for stdin.
    """
    outputs, log, crew = common.Outputs(out, out_dir, force, skip_existing), common.Log(quiet, verbose), Crew(jobs)
    outputs.check(inputs)
    given = click.get_current_context().get_parameter_source
    filling = [f"--{name}" for name in ("fill", "guidance") if given(name) is ParameterSource.COMMANDLINE]

    from arpc_codec.container import Codec, read
    from arpc_codec.imageio import FORMATS, exact_format, format_of, from_chunks, write, write_exact
    from arpc_codec.loading import load_for, load_lossless
    from arpc_codec.rate import parts_wanted

    if format is None:
        format = "png" if out in (None, common.STDIO) else format_of(out, tuple(_SUFFIX))
    only_steps = steps is not None and out is None and out_dir is None
    if steps is not None:
        steps.mkdir(parents=True, exist_ok=True)

    def work(name: str) -> int:
        target = outputs.target(name, _SUFFIX[format])
        if not only_steps and outputs.skip(target):
            log.note(name, f"{target} exists, skipped")
            return 0
        start = time.perf_counter()
        container = read(common.read_bytes(name), max_pixels=max_pixels)
        header = container.header
        # No error: of many inputs others may be filled.
        if filling and header.codec is not Codec.ARPC:
            log.note(name, f"{' and '.join(filling)} ignored: codec {header.codec.name.lower()} has no scales to fill")
        where = str(steps) if only_steps else "stdout" if target == common.STDIO else target
        if header.lossless is not None:
            if (scales, stages, steps) != (None, None, None):
                raise UsageError("a lossless file comes whole: --scales, --stages and --steps do not apply")
            exact_format(format)
            crew.gather(header.height * header.width)
            found = load_lossless(header.model_id, device).decode(container, progress=log.part, crew=crew)
            outputs.write(write_exact(found.picture, format), target)
            log.note(
                name,
                f"{header.width}x{header.height} -> {where}: {'in part' if found.damage or found.cut else 'lossless'}",
            )
            log.detail(name, f"{time.perf_counter() - start:.2f} s with model id {header.model_id}")
            problem = found.damage and f"damaged: {found.damage}; picture written"
            return _verdict(name, problem, found.cut and f"truncated: {found.cut}", allow_truncated, log)
        if format not in FORMATS:
            raise UsageError(f"{format.upper()} is for lossless files: use --format {'|'.join(FORMATS)}")
        extras = from_chunks(container.chunks, header.height, header.width)

        def emit(decoded: Decoded, path: str) -> None:
            file = BytesIO()
            notes = write(
                decoded.pixels,
                extras.alpha,
                bool(header.colour),
                file,
                format,
                icc=extras.icc,
                exif=extras.exif,
                xmp=extras.xmp,
            )
            outputs.write(file.getvalue(), path)
            log.note(name, "; ".join(notes))

        wanted, noun = parts_wanted(header.codec, scales, stages), header.codec.noun
        codec = load_for(header, device)
        if steps is None:
            decoded = codec.decode(container, scales=wanted, fill=fill, seed=seed, guidance=guidance)
        else:
            steps_shown = codec.steps(container, fill=fill, seed=seed, guidance=guidance)
            decoded = _each_step(steps_shown, container, wanted, lambda step: emit(step, step_path(name, step)))
        if not only_steps:
            emit(decoded, target)
        filled = header.codec is Codec.ARPC and fill != "none" and decoded.scales < decoded.total_scales
        log.note(
            name,
            f"{header.width}x{header.height} -> {where}: {decoded.scales} of {decoded.total_scales} {noun}s"
            + (f", the others filled ({fill})" if filled else ""),
        )
        log.detail(name, f"{time.perf_counter() - start:.2f} s with model id {header.model_id}")
        return _verdict(name, _problem(decoded, noun, extras.notes), _missing(container, decoded), allow_truncated, log)

    step_owners: dict[str, str] = {}

    def step_path(name: str, step: Decoded) -> str:
        assert steps is not None
        stem = "stdin" if name == common.STDIO else Path(name).stem
        other = step_owners.setdefault(stem, name)
        if other != name:
            raise ArpcError(f"the steps in {steps} named {stem}-* are those of {other} already")
        return str(steps / f"{stem}-{step.scales:02d}{_SUFFIX[format]}")

    with crew:
        return common.run_all(inputs, work, log)


def _each_step(
    steps: Iterator[Decoded], container: Container, scales: int | None, emit: Callable[[Decoded], None]
) -> Decoded:
    """Hand every step up to `scales` to `emit`; the last one, with `damaged` set when a scale stopped the walk."""
    wanted = min(len(container.segments), scales or len(container.segments))
    last = None
    for step in islice(steps, wanted):
        emit(step)
        last = step
    if last is None:
        raise FormatError(f"the first {container.header.codec.noun} is damaged")
    return last if last.scales >= wanted else replace(last, damaged=(last.scales + 1,))


def _problem(decoded: Decoded, noun: str, chunk_notes: tuple[str, ...]) -> str:
    """What is damaged in a file of scales or stages; nothing when nothing is."""
    if decoded.damaged:
        good = f"{noun}s 1-{decoded.scales}" if decoded.scales > 1 else f"{noun} 1"
        return f"{noun} {decoded.damaged[0]} is damaged: picture written from {good}"
    return "; ".join(chunk_notes)


def _missing(container: Container, decoded: Decoded) -> str:
    """What a file of scales or stages that is cut or has holes lacks; nothing when it is whole."""
    if not container.truncated:
        from arpc_codec.codecs.stages import describe_lost
        from arpc_codec.scales import latent_size

        rows, cols = latent_size(container.header.height, container.header.width)
        lost = describe_lost(decoded.lost, rows * cols)
        return lost and f"holes: {lost}"
    there, sent, noun = len(container.segments), container.header.scales, container.header.codec.noun
    return f"truncated: {f'{there} of {sent} {noun}s arrived' if there < sent else 'metadata at its end is missing'}"


def _verdict(name: str, problem: str, missing: str, allow_truncated: bool, log: common.Log) -> int:
    """Say what is wrong with a file whose picture is written; the exit code."""
    if problem:
        log.error(name, problem)
        return FormatError.exit_code
    if missing:
        text = f"{missing}; picture written"
        if allow_truncated:
            log.note(name, text)
            return 0
        log.error(name, text)
        return TruncatedError.exit_code
    return 0
