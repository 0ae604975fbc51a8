"""The packet vectors: what they make, and that they are reproducible."""

import importlib.util
import json
from pathlib import Path

import pytest

from arpc_codec.packets import join, parse, sort_out, write

FORMATS = Path(__file__).parents[2] / "formats"
PACKETS = FORMATS / "vectors" / "packets"
CASES = json.loads((PACKETS / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_packets_make_the_file(name: str) -> None:
    blobs = [path.read_bytes() for path in sorted((PACKETS / name).glob("*.packet"))]
    assert [write(parse(blob)) for blob in blobs] == blobs
    kept, rejected = sort_out(blobs)
    joined = join(kept)
    assert rejected == {}
    assert joined.data == (PACKETS / name / "joined.arpc").read_bytes()
    assert joined.missing == CASES[name]["missing"]
    assert (joined.data == (PACKETS / name / "original.arpc").read_bytes()) == (not joined.missing)


def test_vectors_are_what_the_script_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_packet_vectors", FORMATS / "make_packet_vectors.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path)
    made, kept = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path, PACKETS)
    )
    assert made == kept
