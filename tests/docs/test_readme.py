"""What the README says must be true: commands exist with their options, its Python runs, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from arpc_codec.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "formats").glob("*.md"))]


def shell_lines() -> list[str]:
    """Every `arpc ...` call in the pages' shell blocks, one a line."""
    lines = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            text = block.replace("\\\n", " ").replace("&&", "\n").replace(" | ", "\n")
            calls = (line.split(" #")[0].split(" > ")[0].strip() for line in text.splitlines())
            lines += [re.sub(r"^\.venv/bin/", "", line) for line in calls if re.match(r"(\.venv/bin/)?arpc ", line)]
    return lines


@pytest.mark.parametrize("line", shell_lines())
def test_commands_and_options_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = main
    path: list[str] = []
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words[0]
        command, path, words = found, [*path, words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= known
    assert CliRunner().invoke(main, [*path, "--help"]).exit_code == 0


def test_there_are_commands_to_check() -> None:
    assert len(shell_lines()) > 10


def links(page: Path) -> list[tuple[str, str]]:
    """(file, heading) of every link to this repository, either may be empty; code is not looked at."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [(target, heading) for target, _, heading in (word.partition("#") for word in found if ":" not in word)]


def headings(page: Path) -> set[str]:
    """The names that headings have in links."""
    lines = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in links(page):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not heading or heading in headings(file), f"{target}#{heading}"


def test_readme_and_index_link_every_page() -> None:
    for start in (ROOT / "README.md", ROOT / "docs" / "README.md"):
        linked = {(start.parent / target).resolve() for target, _ in links(start)}
        assert set((ROOT / "docs").glob("*.md")) - {start} <= linked, start


def test_python_runs() -> None:
    from skimage import data

    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippet
    scope = {"image": data.chelsea()[:64, :96]}
    exec(snippet.group(1), scope)
    assert scope["picture"].size == (96, 64)
