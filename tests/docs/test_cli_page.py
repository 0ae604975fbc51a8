"""docs/cli.md is what --help says, and shells can complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.reference import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_page_is_current() -> None:
    """Otherwise: python -m dev.reference > docs/cli.md."""
    assert PAGE.read_text("utf-8") == page()
    for heading in ("## arpc encode", "## arpc models import", "## arpc train export-hpac", "## arpc bench"):
        assert f"\n{heading}\n" in page()


def arpc(**variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from arpc_codec.cli.main import main; main(prog_name='arpc')"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_script(shell: str) -> None:
    assert "_ARPC_COMPLETE" in arpc(_ARPC_COMPLETE=f"{shell}_source")


@pytest.mark.parametrize(
    ("words", "place", "found"),
    [("arpc enc", 1, "encode"), ("arpc encode --target", 2, "--target-bytes"), ("arpc encode -c pro", 3, "progic")],
)
def test_commands_options_and_values_are_completed(words: str, place: int, found: str) -> None:
    offered = arpc(_ARPC_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(place))
    assert f"plain,{found}" in offered.splitlines()
