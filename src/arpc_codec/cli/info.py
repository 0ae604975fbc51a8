"""`arpc info`: what a file says about itself. Needs no model, no torch, no numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from arpc_codec.cli import common, options
from arpc_codec.cli.log import Log, printable, shown
from arpc_codec.container import Codec, Info
from arpc_codec.container import info as describe
from arpc_codec.errors import ModelError


@click.command()
@options.inputs
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
@click.option("-v", "--verbose", is_flag=True, help="List every field of the file.")
@options.max_pixels
def info(inputs: tuple[str, ...], as_json: bool, verbose: bool, max_pixels: int) -> int:
    """Show what .arpc files hold and where every byte went; cut files too. IN may be -, for stdin."""

    def work(name: str) -> int:
        described = describe(common.read_bytes(name), max_pixels=max_pixels)
        if as_json:
            click.echo(json.dumps({"file": name} | described.to_json()))
        else:
            click.echo("\n".join(_lines(name, described, verbose)))
        return 0

    return common.run_all(inputs, work, Log())


def _lines(name: str, info: Info, verbose: bool) -> Iterator[str]:
    nouns = f"{Codec[info.codec.upper()].noun}s"
    kind = f"{info.codec}, model {_model(info.model_id)}, {info.width}x{info.height} {info.colour}"
    yield f"{printable(shown(name))}: {kind}{', tiled' if info.tiled else ''}"
    if info.caption:
        yield f'caption  "{printable(info.caption)}"{", conditions the prior" if info.conditioned else ""}'
    sent = f"{info.scales_declared} {nouns} sent"
    if info.portable:
        sent += ", portable"
    if info.phases is not None:
        sent += f", the last one in part ({info.phases} of 4 phases)"
    if info.lossless is not None:
        text = "lossless, {bits} bits, {channels} channels, tiles of {tile}, {bpsp:.4f} bits a sample"
        sent = text.format(**info.lossless)
    yield f"{sent}; {info.file_bytes} bytes, {info.bpp:.4f} bits a pixel"
    if info.codec == "arpc":
        yield "scales that were not sent are guessed: arpc decode --certainty shows where"
    if not info.sound:
        yield "DAMAGED: the file check is wrong"
    if info.holes:
        yield "HOLES: packets were lost, so that stages lack some of their positions"
    if info.truncated:
        there = f"{info.scales_present} of {info.scales_declared} {nouns} are complete"
        if info.lossless is not None:
            there = "its end is missing" if info.scales_present else "the picture is not complete"
        yield f"TRUNCATED: {there}"
    yield ""
    rows = list(_fields(info) if verbose else _groups(info))
    wide = max(len(row[0]) for row in rows)
    for label, size, rest in [*rows, ("total", info.file_bytes, "")]:
        yield f"  {label:<{wide}}  {size:>8} B  {rest}".rstrip()


def _model(model_id: int) -> str:
    from arpc_codec.zoo.registry import find

    try:
        return f"{model_id} ({find(model_id).name})"
    except ModelError:
        return f"{model_id} (not on this machine)"


def _fields(info: Info) -> Iterator[tuple[str, int, str]]:
    for field in info.fields:
        yield field.name, field.length, f"at {field.offset:<7} {field.kind:<9} {field.meaning}"


def _groups(info: Info) -> Iterator[tuple[str, int, str]]:
    """Fields summed to rows: header, caption, one row a scale, metadata, and the rest of a cut file."""
    noun, sizes = Codec[info.codec.upper()].noun, dict[str, int]()
    for field in info.fields:
        name = field.name.removesuffix(" length").removesuffix(" head")
        is_scale = name.rstrip("0123456789 ") == noun
        key = name if is_scale or field.kind in ("caption", "metadata") or name == "cut" else "header"
        sizes[key] = sizes.get(key, 0) + field.length
    scales = [name for name in sizes if name.rstrip("0123456789 ") == noun]
    rates = dict(zip(scales, info.bpp_per_scale, strict=False))
    for name, size in sizes.items():
        if name in rates:
            whole = round(rates[name] * info.width * info.height / 8)
            yield name, size, f"{whole:>8} B  {rates[name]:.4f} bpp if the file ended here"
        else:
            yield name, size, "incomplete" if name == "cut" or name in scales else ""
