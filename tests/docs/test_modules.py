"""Commands of modules that the pages name (`python -m dev.bench.rate DIR`) exist, with their options."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "formats").glob("*.md"))]


def calls() -> list[tuple[str, str, str]]:
    """Page, module and the words behind it."""
    found = []
    for page in PAGES:
        for module, rest in re.findall(r"python\s+-m\s+((?:arpc_codec|dev)[\w.]*)([^`]*)", page.read_text("utf-8")):
            found.append((page.name, module, " ".join(rest.split())))
    return found


@pytest.mark.parametrize(("page", "module", "rest"), calls())
def test_modules_and_options_exist(page: str, module: str, rest: str) -> None:
    """CHANGELOG.md, too: nothing of it was released."""
    spec = find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations:
        assert find_spec(f"{module}.__main__")
    elif isinstance(main := getattr(import_module(module), "main", None), click.Command):
        known = {option for parameter in main.params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) <= known


def test_short_names_of_modules_are_modules() -> None:
    """`dev.bench.scale` alone, as in sentences."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    names = set(re.findall(r"`(dev\.bench\.\w+)", text))
    assert {"dev.bench.scale", "dev.bench.loss"} <= names
    assert {name for name in names if find_spec(name) is None} == set()
    assert re.findall(r"`bench\.\w+", text) == []


def test_the_main_pages_name_some() -> None:
    assert {"results.md", "CONTRIBUTING.md"} <= {page for page, _, _ in calls()}
