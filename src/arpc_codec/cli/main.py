"""`arpc`: the group of commands, and the way from exceptions to exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from arpc_codec.cli.common import INTERRUPTED
from arpc_codec.cli.log import complain
from arpc_codec.cli.streams import leave, open_closed
from arpc_codec.errors import describe
from arpc_codec.openmp import wait_passively

# name: (module, its command, one line of help), in the order of --help
_COMMANDS = {
    "encode": ("arpc_codec.cli.encode", "encode", "Pictures to .arpc files."),
    "decode": ("arpc_codec.cli.decode", "decode", ".arpc files to pictures."),
    "info": ("arpc_codec.cli.info", "info", "Show where every byte went; needs no model."),
    "verify": ("arpc_codec.cli.verify", "verify", "Check every scale, and the quality against a picture."),
    "truncate": ("arpc_codec.cli.truncate", "truncate", "Cut to fewer scales or bytes; needs no model."),
    "packets": ("arpc_codec.cli.packets", "packets", "Packets for links that lose some."),
    "preview": ("arpc_codec.cli.preview", "preview", "One sheet with the picture after every scale."),
    "models": ("arpc_codec.cli.models", "models", "The models on this machine."),
    "bench": ("arpc_codec.bench.__main__", "main", "Compare with other codecs."),
    "train": ("arpc_codec.cli.train.group", "train", "Train a tokenizer, a prior or a decoder."),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is used, and ends the process with the documented exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        """Run and exit: a command's return value is the exit code."""
        wait_passively()
        open_closed()
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal cannot show is no reason to fail.
            with suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        options["standalone_mode"] = False
        try:
            code = super().main(args, *rest, **options)
            if not code:
                sys.stdout.flush()
            leave(code or 0)
        except click.Abort:
            complain("interrupted")
            leave(INTERRUPTED)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "arpc"
            complain(f"{error.format_message()} (see '{path} --help')")
            leave(error.exit_code)
        except click.ClickException as error:
            complain(error.format_message())
            leave(error.exit_code)
        except BrokenPipeError:
            # The reader left.
            leave(1)
        except Exception as error:
            code, text = describe(error)
            complain(text)
            leave(code)


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from arpc_codec import __version__

        click.echo(f"arpc {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Progressive neural image codec: a photo in a few hundred bytes.

    \b
    arpc encode photo.png -o photo.arpc --scales 8
    arpc decode photo.arpc -o back.png

    Exit codes: 0 done, 1 failed, 2 usage, 3 not an arpc file or damaged, 4 newer version or unknown codec,
    5 model missing or mismatch, 6 truncated or with holes (what arrived is written, where that can be), 130
    interrupted. Of several files, the worst. ARPC_DEBUG=1 shows where an error came from.
    """
