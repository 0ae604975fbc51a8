"""The commands that need no model, in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from arpc_codec.container import Chunk, ChunkType, Codec, Container, Header, read, write

Run = Callable[..., Result]
CODED = write(
    Container(
        Header(Codec.ARPC, 1, 768, 512, 4, caption="two \x1b[31mlines\nhere"),
        (b"a", b"bb", b"c" * 30, b"d" * 200),
        (Chunk(ChunkType.ICC, b"i" * 40),),
    )
)


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    path = tmp_path / "x.arpc"
    path.write_bytes(CODED)
    return path


@pytest.mark.parametrize("options", [[], ["-v"]])
@pytest.mark.parametrize("size", [len(CODED), len(CODED) - 10, len(CODED) - 60, 50, 45])
def test_the_table_accounts_for_every_byte(arpc: Run, options: list[str], size: int) -> None:
    result = arpc("info", "-", *options, stdin=CODED[:size])
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    rows = [line.split(" B")[0].split() for line in result.stdout.split("\n\n")[1].splitlines()]
    sizes = [int(row[-1]) for row in rows]
    assert sum(sizes[:-1]) == sizes[-1] == size
    assert ("TRUNCATED" in result.stdout) == (size < len(CODED))


def test_json_is_one_object_a_file(arpc: Run, coded: Path, tmp_path: Path) -> None:
    result = arpc("info", "--json", coded, tmp_path / "missing", coded)
    assert result.exit_code == 1
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first == second
    assert first["schema"] == 1
    assert first["file"] == str(coded)
    assert first["truncated"] is False
    assert sum(field["length"] for field in first["fields"]) == len(CODED) == first["file_bytes"]


def test_info_of_other_files(arpc: Run) -> None:
    assert arpc("info", "-", stdin=b"hello").exit_code == 3
    assert arpc("info", "-", stdin=b"\xa7A\n\xc8").exit_code == 4
    assert arpc("info").exit_code == 2


def test_truncate(arpc: Run, coded: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.arpc"
    assert arpc("truncate", coded, "-o", out, "-k", "2").exit_code == 0
    assert read(out.read_bytes()).header.scales == 2
    assert arpc("truncate", coded, "-o", out, "-k", "3").exit_code == 1
    assert arpc("truncate", coded, "-o", out, "--bytes", "150", "-f").exit_code == 0
    assert len(out.read_bytes()) <= 150
    result = arpc("truncate", "-", "-o", "-", "-k", "9", stdin=CODED)
    assert result.stdout_bytes == CODED
    assert "only 4 scales" in result.stderr
    assert arpc("truncate", coded, "-o", coded, "--overwrite-input", "-k", "1").exit_code == 0
    assert read(coded.read_bytes()).header.scales == 1


def test_truncate_repairs_a_cut_file(arpc: Run) -> None:
    result = arpc("truncate", "-", "-o", "-", "-k", "9", stdin=CODED[:100])
    assert not read(result.stdout_bytes).truncated


@pytest.mark.parametrize(
    "words",
    [
        "info x.arpc",
        "truncate x.arpc -o y.arpc -k 2",
        "verify x.arpc",
        "preview x.arpc -o y.png",
        "packets split x.arpc --mtu 200 -o y",
    ],
)
def test_pictures_that_are_too_large(
    arpc: Run, coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = arpc(*words.split(), "--max-pixels", "1000")
    assert (result.exit_code, result.stderr) == (4, "arpc: x.arpc: 768 x 512 pixels exceed the limit of 1000\n")
    assert list(tmp_path.iterdir()) == [coded]


def test_what_is_too_large_may_be_allowed(arpc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    huge = write(Container(Header(Codec.ARPC, 1, 1 << 15, 1 << 15, 2), (b"a", b"b" * 99)))
    (tmp_path / "x.arpc").write_bytes(huge)
    for words in (
        "info x.arpc",
        "truncate x.arpc -o y.arpc -k 1",
        "packets split x.arpc --mtu 100 -o parts",
        "packets join parts -o z.arpc",
    ):
        assert arpc(*words.split()).exit_code != 0
        result = arpc(*words.split(), "--max-pixels", str(1 << 30))
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "z.arpc").read_bytes() == huge


def test_truncate_usage(arpc: Run, coded: Path) -> None:
    assert arpc("truncate", coded, "-o", "-").exit_code == 2
    assert arpc("truncate", coded, "-o", "-", "-k", "1", "--bytes", "9").exit_code == 2
    assert arpc("truncate", coded, "-k", "1").exit_code == 2
    assert arpc("truncate", coded, "-o", "-", "--bytes", "3").exit_code == 2
    assert arpc("truncate", "-", "-o", "-", "-k", "1", stdin=CODED[:29]).exit_code == 6


def test_models(arpc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    config = {"id": 900, "name": "mine", "codec": "hpac", "fingerprint": "ab" * 32, "licence": "CC0-1.0"}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("ARPC_HOME", str(tmp_path))
    assert f"900  mine           hpac   {'ab' * 6}  CC0-1.0      {folder}" in arpc("models", "list").stdout
    listed = [json.loads(line) for line in arpc("models", "list", "--json").stdout.splitlines()]
    assert {"schema": 1, **config, "path": str(folder)} in listed
    for name in ("mine", "900"):
        assert arpc("models", "path", name).stdout == f"{folder}\n"
    # A broken folder and one that is not finished stop no other.
    broken = {"bad": "{", "deep": "[" * 100_000, ".half": json.dumps(config | {"name": "half"})}
    broken |= {f"id{n}": json.dumps(config | {"id": wrong}) for n, wrong in enumerate((1e999, 0, "7", None))}
    for name, text in broken.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    again = arpc("models", "list", "--json")
    assert (again.exit_code, [json.loads(line) for line in again.stdout.splitlines()]) == (0, listed)
    (folder / "config.json").write_text(json.dumps(config | {"licence": "a\x1b[31m"}))
    assert "a\\x1b[31m" in arpc("models", "list").stdout
    result = arpc("models", "path", "nothing")
    assert result.exit_code == 5
    assert len(result.stderr.splitlines()) == 1


def test_group(arpc: Run) -> None:
    text = arpc("--help").stdout
    for name in ("encode", "decode", "info", "verify", "truncate", "preview", "models", "train"):
        assert f"\n  {name} " in text
        assert arpc(name, "--help").exit_code == 0
    assert arpc("--version").stdout.startswith("arpc ")
    assert arpc("nothing").exit_code == 2
    assert arpc("train", "tokenizer", "--data", "x").exit_code == 2


@pytest.mark.parametrize("group", ["models", "packets", "train"])
def test_a_group_without_a_command_is_one_line(arpc: Run, group: str) -> None:
    result = arpc(group)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("arpc: Missing command. (see '")
    assert line.endswith(f" {group} --help')")
