"""`arpc truncate`: fewer scales, stages or bytes, without a model."""

from __future__ import annotations

import click

from arpc_codec.cli import common, options
from arpc_codec.cli.log import Log
from arpc_codec.container import read
from arpc_codec.container import truncate as cut
from arpc_codec.errors import UsageError
from arpc_codec.rate import parts_wanted


@click.command()
@options.source
@options.target
@click.option("-k", "--scales", type=click.IntRange(min=1), metavar="K", help="Keep the first K scales.")
@options.stages
@click.option("--target-bytes", "--bytes", type=click.IntRange(min=1), metavar="N", help="Largest file in bytes.")
@options.force
@options.max_pixels
@options.log
def truncate(
    source: str,
    out: str,
    scales: int | None,
    stages: int | None,
    target_bytes: int | None,
    force: bool,
    overwrite_input: bool,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Make a whole, smaller .arpc file of the first scales or stages of another, which may be cut."""
    if (scales is None and stages is None) == (target_bytes is None):
        raise UsageError("give either --scales or --target-bytes")
    outputs, log = common.Outputs(out, None, force, overwrite_input=overwrite_input), Log(quiet, verbose)
    outputs.check((source,))

    def work(name: str) -> int:
        outputs.skip(out)
        data = common.read_bytes(name)
        source = read(data, max_pixels=max_pixels)
        wanted, noun = parts_wanted(source.header.codec, scales, stages), source.header.codec.noun
        smaller = cut(data, scales=wanted, max_bytes=target_bytes, max_pixels=max_pixels)
        outputs.write(smaller, out)
        kept, there = read(smaller, max_pixels=max_pixels).header, len(source.segments)
        if wanted is not None and wanted > there:
            log.note(name, f"only {there} {noun}s are there")
        if source.truncated and there == source.header.scales:
            log.note(name, "alpha plane or metadata at its end are cut, and left out")
        log.note(
            name,
            f"-> {out if out != common.STDIO else 'stdout'}: {kept.scales} of {there} {noun}s, "
            f"{len(smaller)} of {len(data)} bytes",
        )
        return 0

    return common.run_all((source,), work, log)
