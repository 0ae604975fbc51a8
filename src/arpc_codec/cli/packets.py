"""`arpc packets`: .arpc files for links that lose packets. Only splitting coded ProGIC stages needs a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from arpc_codec.cli import common, options
from arpc_codec.cli.log import Log
from arpc_codec.errors import ArpcError, FormatError, ModelError, TruncatedError, UsageError
from arpc_codec.files import make_folder

SUFFIX = ".packet"


@click.group(no_args_is_help=False)
def packets() -> None:
    """Split .arpc files into packets, and join those that arrived.

    Every packet of a ProGIC file is a picture by itself: it holds some positions of the latent, in all stages. Packets
    of an arpc-codec file hold its scales one after the other, those of a lossless file its bytes.
    """


@packets.command()
@options.source
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    type=options.Folder(),
    metavar="DIR",
    help="Folder for the packets, one file each; their names sort in the order of sending.",
)
@click.option("--mtu", type=click.IntRange(min=1), required=True, metavar="N", help="Most bytes of a packet.")
@click.option(
    "--interleave/--no-interleave",
    default=True,
    show_default=True,
    help="ProGIC: positions that lie apart in one packet, so that a lost one blanks no region.",
)
@click.option(
    "--redundancy",
    type=options.Number(min=0, max=10),
    default=0.0,
    metavar="X",
    help="Add parities (ProGIC: and stage 1 again, in turn) in at most X times as many bytes (0).",
)
@options.force
@options.max_pixels
@options.log
def split(
    source: str,
    out: Path,
    mtu: int,
    interleave: bool,
    redundancy: float,
    force: bool,
    overwrite_input: bool,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Split an .arpc file into packets of at most N bytes. IN may be -, for stdin.

    Stages of ProGIC that are coded become plain indices first, which takes the model and more bytes. With -f packets of
    an earlier file of the same name are removed.
    """
    outputs = common.Outputs(None, None, force, overwrite_input=overwrite_input)
    outputs.protect((source,))
    log = Log(quiet, verbose)

    def work(name: str) -> int:
        from arpc_codec.packets import split

        given = common.read_bytes(name)
        data, missing = _packed(given, max_pixels)
        try:
            parts = split(data, mtu, interleave=interleave, redundancy=redundancy, max_pixels=max_pixels)
        except FormatError as error:
            # Coded stages look damaged to who cannot read them.
            raise missing or error from None
        stem, digits = "stdin" if name == common.STDIO else Path(name).stem, len(str(len(parts)))
        targets = [out / f"{stem}-{number:0{digits}}{SUFFIX}" for number in range(1, len(parts) + 1)]
        # Before anything is written. Packets of an earlier file of that name would be joined with these.
        others = [path for path in _packets(out, stem) if path not in targets]
        for target in targets:
            outputs.skip(str(target))
        if others and not force:
            raise ArpcError(f"{others[0]} is a packet of another file of that name (-f removes it)")
        make_folder(out)
        for target, part in zip(targets, parts, strict=True):
            outputs.write(part, str(target))
        for path in others:
            path.unlink()
        plain = "" if data == given else f", {len(data)} with the plain indices that packets hold"
        sizes = f"{sum(map(len, parts))} bytes, the file has {len(given)}{plain}"
        log.note(name, f"-> {out}: {len(parts)} packets of {sizes}")
        return 0

    return common.run_all((source,), work, log)


def _packets(folder: Path, stem: str) -> list[Path]:
    """Those of files of that name."""
    named = re.compile(re.escape(stem) + r"-\d+" + re.escape(SUFFIX))
    return sorted(path for path in (folder.iterdir() if folder.is_dir() else ()) if named.fullmatch(path.name))


def _packed(data: bytes, max_pixels: int) -> tuple[bytes, ModelError | None]:
    """(A ProGIC file with packed stages, any other file as it is; why it could not be read if coded stages need it)."""
    from arpc_codec.container import Codec, read, write

    container = read(data, max_pixels=max_pixels)
    if container.header.codec is not Codec.PROGIC or container.truncated or container.header.holes:
        return data, None
    from arpc_codec.codecs.progic import ProgicCodec

    try:
        codec = ProgicCodec.load(container.header.model_id)
    except ModelError as error:
        return data, error  # packed stages can be split without a model
    return write(codec.packed(container)), None


@packets.command()
@click.argument(
    "inputs", metavar="DIR|PACKET...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@options.target
@options.force
@options.max_pixels
@options.log
def join(
    inputs: tuple[Path, ...],
    out: str,
    force: bool,
    overwrite_input: bool,
    max_pixels: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Join packets, in any order, to an .arpc file: the one that was split, if nothing is missing, or a part of it.

    Of coded stages of ProGIC it is the file of the same picture with plain indices.
    Packets that are damaged or of another picture are named and left out. When something is missing the file is written
    all the same and the exit code is 6.
    """
    outputs, log = common.Outputs(out, None, force, overwrite_input=overwrite_input), Log(quiet, verbose)

    def work(target: str) -> int:
        from arpc_codec.packets import LARGEST, join, sort_out

        outputs.skip(target)
        where = "stdout" if target == common.STDIO else target
        paths = list(_files(inputs))
        if not paths:
            raise UsageError("there are no files to join")

        def read(path: Path) -> bytes:
            # More than a packet may have is refused, however much it is.
            with path.open("rb") as file:
                return file.read(LARGEST + 1)

        kept, rejected = sort_out(map(read, paths), max_pixels=max_pixels)
        for place, reason in sorted(rejected.items()):
            log.error(str(paths[place]), reason)
        # What is no packet may be the file that an earlier run wrote there.
        outputs.protect(path for place, path in enumerate(paths) if place not in rejected)
        joined = join(kept)
        outputs.write(joined.data, target)
        if not joined.sound:
            log.error(where, "the packets do not make the file that they name; file written")
            return FormatError.exit_code
        if joined.missing:
            log.error(where, f"{joined.missing}; file written")
            return TruncatedError.exit_code
        log.note(where, f"{len(kept)} packets, nothing missing: {len(joined.data)} bytes")
        return 0

    return common.run_all((out,), work, log)


def _files(inputs: tuple[Path, ...]) -> Iterator[Path]:
    """Files that are named, and those in folders that are."""
    for path in inputs:
        yield from sorted(inner for inner in path.iterdir() if inner.is_file()) if path.is_dir() else (path,)
