"""The committed vectors: what they hold, how they are refused, that they are reproducible."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from arpc_codec.codecs.stages import ABSENT, read_stage
from arpc_codec.container import Codec, info, read, write
from arpc_codec.errors import ArpcError, FormatError

FORMATS = Path(__file__).parents[2] / "formats"
GOOD = sorted((FORMATS / "vectors" / "good").glob("*.arpc"))
BAD = sorted((FORMATS / "vectors" / "bad").glob("*.arpc"))
ROW = re.compile(r"^\| `(.+\.arpc)` \| (\d) \| .+ \|$", re.MULTILINE)


def expected_exit_codes(folder: str) -> dict[str, int]:
    text = (FORMATS / "vectors" / folder / "README.md").read_text(encoding="utf-8")
    return {name: int(code) for name, code in ROW.findall(text)}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_vector_parses_as_described(path: Path) -> None:
    data = path.read_bytes()
    assert info(data).to_json() == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    container = read(data)
    assert container.truncated == path.stem.startswith(("cut-", "length-"))
    assert container.sound == ("file-check" not in path.stem or container.truncated)
    if not container.truncated and container.sound:
        assert write(container) == data


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_prefix_of_a_good_vector_is_truncated_or_refused(path: Path) -> None:
    data = path.read_bytes()
    for size in range(len(data)):
        try:
            assert read(data[:size]).truncated
        except FormatError:
            assert size < len(data) - info(data).payload_bytes


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_vector_is_refused_with_its_exit_code(path: Path) -> None:
    with pytest.raises(ArpcError) as caught:
        read(path.read_bytes())
    assert caught.value.exit_code == expected_exit_codes("bad")[path.name]
    assert str(caught.value)


@pytest.mark.parametrize(("folder", "paths"), [("good", GOOD), ("bad", BAD)])
def test_every_vector_has_its_readme_line(folder: str, paths: list[Path]) -> None:
    assert set(expected_exit_codes(folder)) == {path.name for path in paths}


def test_vectors_are_what_the_script_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_vectors", FORMATS / "make_vectors.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name while the class is made.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "make_vectors", module)
        spec.loader.exec_module(module)
        module.main(tmp_path)
    for folder in ("good", "bad"):
        made = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        kept = {path.name: path.read_bytes() for path in (FORMATS / "vectors" / folder).iterdir()}
        assert made == kept


def test_stages_of_the_progic_vectors() -> None:
    """Packed as the specification says, with the fingerprint of zeros that the script says."""
    checked = 0
    for path in GOOD:
        container = read(path.read_bytes())
        if container.header.codec is not Codec.PROGIC:
            continue
        shape = -(-container.header.height // 16), -(-container.header.width // 16)
        for stage, segment in enumerate(container.segments):
            if path.stem == "progic-stage-check" and stage == 4:
                with pytest.raises(FormatError, match="check"):
                    read_stage(segment, shape, 1024, bytes(32), stage)
                continue
            if container.header.holes:
                indices = read_stage(segment, shape, 1024, bytes(32), stage, holes=True).flatten().tolist()
                assert [at for at, index in enumerate(indices) if index == ABSENT] == [1, 2, 3][: 1 + 2 * stage]
                checked += 1
                continue
            if path.stem == "progic-coded" and stage == 0:
                with pytest.raises(FormatError, match="do not hold"):
                    read_stage(segment, shape, 1024, bytes(32), stage)
                continue
            bits = "".join(f"{byte:08b}" for byte in segment[:-1])
            expected = [int(bits[10 * i : 10 * i + 10], 2) for i in range(shape[0] * shape[1])]
            assert read_stage(segment, shape, 1024, bytes(32), stage).flatten().tolist() == expected
            checked += 1
    assert checked == 5 + 1 + 1 + 2 + 2 + 4 + 3


def test_example_of_the_specification_is_the_minimal_vector() -> None:
    text = (FORMATS / "arpc-v1.md").read_text(encoding="utf-8").split("## Example")[1]
    spelled = "".join(re.findall(r"`((?:[0-9A-F]{2} ?)+)`", text))
    assert bytes.fromhex(spelled) == (FORMATS / "vectors" / "good" / "minimal.arpc").read_bytes()


def test_model_ids_are_unique() -> None:
    tomllib = pytest.importorskip("tomllib")
    models = tomllib.loads((FORMATS / "models.toml").read_text(encoding="utf-8"))["model"]
    ids = [model["id"] for model in models]
    assert len(set(ids)) == len(ids)
    assert min(ids) >= 1
