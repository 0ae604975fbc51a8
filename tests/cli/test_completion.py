"""What the shell is told to complete (docs/cli.md)."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from arpc_codec.cli.main import main


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["encode"], "file"),
        (["encode", "-o"], "file"),
        (["truncate", "a.arpc", "-o"], "file"),
        (["decode", "a.arpc", "--out-dir"], "dir"),
        (["decode", "a.arpc", "--steps"], "dir"),
    ],
)
def test_files_and_folders(words: list[str], kind: str) -> None:
    found = ShellComplete(main, {}, "arpc", "_ARPC_COMPLETE").get_completions(words, "a")
    assert [(item.type, item.value) for item in found] == [(kind, "a")]


def test_commands_and_options() -> None:
    complete = ShellComplete(main, {}, "arpc", "_ARPC_COMPLETE").get_completions
    assert [item.value for item in complete([], "en")] == ["encode"]
    assert "--scales" in [item.value for item in complete(["encode"], "--sc")]
