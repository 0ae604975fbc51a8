"""Options and arguments that the commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from arpc_codec.container import MAX_PIXELS
from arpc_codec.cores import cores
from arpc_codec.places import Url, place

Command = TypeVar("Command", bound=Callable[..., Any])


def several(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several click decorators as one, in the order in which --help shows them."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


class Folder(click.Path):
    """A local folder; an empty name, as of a variable that is not set, would be the folder one is in."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(value or self.fail("an empty name is no folder", param, ctx), param, ctx)


class _FolderOrUrl(Folder):
    """A local folder, or the URL of one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = place(value) if value else value
        return found if isinstance(found, Url) else super().convert(found, param, ctx)


class Name(click.ParamType):
    """What a file is called; an empty name is none, as for `Folder`."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value or self.fail("an empty name is no file", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class Number(click.FloatRange):
    """A finite number within limits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        return found if math.isfinite(found) else self.fail(f"{value} is no number", param, ctx)


inputs = click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=Name())
source = click.argument("source", metavar="IN", type=Name())
force = several(
    click.option("-f", "--force", is_flag=True, help="Overwrite files."),
    click.option("--overwrite-input", is_flag=True, help="Replace even the input by its result."),
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Errors only.")
max_pixels = click.option(
    "--max-pixels", type=click.IntRange(min=1), default=MAX_PIXELS, metavar="N", help="Refuse larger pictures (2^29)."
)
# Each takes some 400 MiB.
MOST_JOBS = 8


def jobs(use: str) -> Callable[[Command], Command]:
    """-j with what it is for."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        default=lambda: min(cores(), MOST_JOBS),
        metavar="N",
        help=f"{use} (as many as cores, at most {MOST_JOBS}).",
    )


target = click.option(
    "-o", "--output", "out", required=True, metavar="OUT", type=Name(), help="Output file; - is stdout."
)
output = several(
    click.option("-o", "--output", "out", metavar="OUT", type=Name(), help="Output file; - is stdout."),
    click.option("--out-dir", type=_FolderOrUrl(), metavar="DIR", help="Folder for the outputs."),
    force,
    click.option("--skip-existing", is_flag=True, help="Leave out inputs whose output exists."),
)
folder = several(
    click.option(
        "--resume", is_flag=True, help="With --out-dir: do only what its manifest.jsonl does not say is done already."
    ),
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="With --out-dir: processes of this machine, or of a Ray cluster.",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster; also ray://HOST:PORT or auto (RAY_ADDRESS, or one that is started for the run).",
    ),
)
log = several(quiet, click.option("-v", "--verbose", is_flag=True, help="Say more."))
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
stages = click.option(
    "--stages", type=click.IntRange(min=1), metavar="N", help="The same for codec progic: the first N stages."
)
fill = several(
    click.option(
        "--fill",
        type=click.Choice(["mean", "argmax", "sample", "none"]),
        default="mean",
        show_default=True,
        help="How scales that were not sent are made up.",
    ),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, metavar="N", help="For --fill sample (0)."),
    click.option(
        "--guidance",
        type=Number(0, 100),
        metavar="G",
        help="How strongly a caption that conditions the prior draws what is filled, 0 to 100 (3; 1 for mean).",
    ),
)
