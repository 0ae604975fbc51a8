"""Lines that survive a killed run."""

import json
from pathlib import Path

import pytest

from arpc_codec.batch.manifest import NAME, Manifest, Record
from arpc_codec.errors import ArpcError


def test_the_last_record_counts_and_a_torn_line_does_not(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "out")
    first, second = Record("a.png", "a.arpc", bytes_out=5), Record("a.png", "a.arpc", code=3, error="damaged")
    manifest.append(first)
    manifest.append(second)
    manifest.close()
    path = tmp_path / "out" / NAME
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])

    manifest = Manifest(tmp_path / "out")
    assert manifest.last("a.arpc") == second
    assert manifest.wrote("a.arpc")
    assert manifest.last("b.arpc") is None
    assert not manifest.wrote("b.arpc")
    manifest.append(Record("b.png", "b.arpc"))
    manifest.close()
    assert [json.loads(line)["source"] for line in path.read_bytes().splitlines()] == ["a.png", "a.png", "b.png"]


def test_lines_of_others_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('junk\n{"source": "a"}\n[1]\n{"source": "a", "target": "b", "new": 1}\n')
    manifest = Manifest(tmp_path)
    assert manifest.last("b") is None
    manifest.close()


@pytest.mark.parametrize("content", [b'{"images":["a.jpg"]}', b'{"images":[]}\n{"a": 1}\n', b"junk", b'[\n"a"]\n{'])
def test_somebody_elses_file_is_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ArpcError, match=r"manifest\.jsonl was not written by arpc"):
        Manifest(tmp_path)
    assert (tmp_path / NAME).read_bytes() == content


@pytest.mark.parametrize("torn", [b"", b'{"sou', b'{"source": "a.png", "tar'])
def test_the_only_line_may_be_torn(torn: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(torn)
    manifest = Manifest(tmp_path)
    manifest.append(Record("a.png", "a.arpc"))
    manifest.close()
    assert len((tmp_path / NAME).read_bytes().splitlines()) == 1


def test_names_of_any_bytes(tmp_path: Path) -> None:
    name = b"\xff\xe4 \n.png".decode("utf-8", "surrogateescape")
    for _ in range(2):
        manifest = Manifest(tmp_path)
        manifest.append(Record(name, name))
        assert manifest.last(name) == Record(name, name)
        manifest.close()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    manifest = Manifest(tmp_path)
    with pytest.raises(ArpcError, match="another run"):
        Manifest(tmp_path)
    manifest.close()
    Manifest(tmp_path).close()
