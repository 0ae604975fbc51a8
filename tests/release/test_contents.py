"""What a wheel holds: every file of the package that is not code is named in pyproject.toml, and nothing else."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "arpc_codec"
SOURCES = {".py", ".c", ".h"}
BUILT = {".pyc", ".so", ".pyd"}


@pytest.fixture(scope="module")
def setuptools_table() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib")
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    return table


@pytest.fixture(scope="module")
def named(setuptools_table: dict[str, Any]) -> dict[str, set[Path]]:
    """The files that each pattern finds."""
    patterns = setuptools_table["package-data"]["arpc_codec"]
    return {pattern: {path for path in PACKAGE.glob(pattern) if path.is_file()} for pattern in patterns}


def test_all_data_are_named_and_no_pattern_is_idle(named: dict[str, set[Path]]) -> None:
    there = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in SOURCES | BUILT}
    assert set.union(*named.values()) == there
    assert [pattern for pattern, files in named.items() if not files] == []


def test_nothing_comes_along_unnamed(setuptools_table: dict[str, Any]) -> None:
    assert setuptools_table["include-package-data"] is False
    assert setuptools_table["packages"]["find"]["where"] == ["src"]
    assert [path.name for path in PACKAGE.parent.iterdir() if path.suffix != ".egg-info"] == ["arpc_codec"]


def test_models_are_whole_and_no_checkpoint_is_among_them(named: dict[str, set[Path]]) -> None:
    """A model folder has its config and what the config's codec loads: some 30 MB, while checkpoints are far more."""
    from arpc_codec.zoo.registry import find

    weights = {path for path in named["weights/**/*"] if path.suffix == ".safetensors"}
    folders = {path.parent for path in named["weights/**/*"]}
    assert {folder.name for folder in folders} == {"tiny", "progic", "lossless", "lossless-large"}
    for folder in folders:
        assert find(folder.name).name == folder.name
        assert (folder / "config.json").is_file()
    assert {path.relative_to(PACKAGE / "weights").as_posix() for path in weights} == {
        "tiny/tokenizer.safetensors",
        "tiny/prior.safetensors",
        "progic/progic.safetensors",
        "progic/indices.safetensors",
        "lossless/prior.safetensors",
        "lossless-large/prior.safetensors",
    }


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).split(".")[0])
    return names


def test_the_package_imports_nothing_of_the_checkout() -> None:
    code = sorted(PACKAGE.rglob("*.py"))
    assert len(code) > 200
    assert [path for path in code if imported(path) & {"dev", "tests", "formats", "examples"}] == []


@pytest.mark.parametrize("path", sorted((ROOT / "dev" / "bench").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_commands_of_the_checkout_say_how_they_are_run(path: Path) -> None:
    """Each module of dev/bench is a command with a first line that says how, or has no command at all."""
    assert importlib.util.find_spec(f"dev.bench.{path.stem}")
    text = path.read_text("utf-8")
    first = text.split("\n", 1)[0]
    assert ("def main(" in text) == first.startswith((f'"""`python -m dev.bench.{path.stem}', '"""`python dev/bench/'))
