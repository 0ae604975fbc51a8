"""`python -m dev.reference > docs/cli.md`: what every command's --help says, as one page."""

from __future__ import annotations

from collections.abc import Iterator

import click

WIDTH = 100
_INTRODUCTION = """# Command line

Made by `python -m dev.reference > docs/cli.md` of what `--help` says; a test keeps it current.

Completion of commands, options and file names: put one of these lines into the start file of your shell.

```sh
eval "$(_ARPC_COMPLETE=bash_source arpc)"        # ~/.bashrc
eval "$(_ARPC_COMPLETE=zsh_source arpc)"         # ~/.zshrc
_ARPC_COMPLETE=fish_source arpc | source         # ~/.config/fish/completions/arpc.fish
```
"""


def page() -> str:
    """The page, in Markdown."""
    from arpc_codec.cli.main import main

    names = main.context_settings["help_option_names"]
    root = click.Context(main, info_name="arpc", max_content_width=WIDTH, terminal_width=WIDTH, help_option_names=names)
    parts = [_INTRODUCTION]
    for path, text in _commands(root):
        parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _commands(context: click.Context) -> Iterator[tuple[str, str]]:
    """(path, help) of a command and of those under it."""
    yield context.command_path, context.get_help()
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _commands(click.Context(command, context, name, max_content_width=WIDTH, terminal_width=WIDTH))


if __name__ == "__main__":
    click.echo(page(), nl=False)
