"""`formats/arpc.magic` and `formats/arpc.xml`: what other programs need to know .arpc files."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from arpc_codec.container.header import MAGIC
from arpc_codec.pillow import EXTENSION, MIME_TYPE

FORMATS = Path(__file__).resolve().parents[2] / "formats"


def unescaped(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")


def test_the_snippet_has_the_magic_and_the_type() -> None:
    lines = [line.split("\t") for line in (FORMATS / "arpc.magic").read_text("utf-8").splitlines()]
    assert [unescaped(line[2]) for line in lines if line[0] == "0"] == [MAGIC]
    assert ["!:mime", MIME_TYPE] in lines
    assert ["!:ext", EXTENSION.removeprefix(".")] in lines


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        ("tiny/whole", "arpc compressed image, version 1, codec arpc"),
        ("good/tiled", "arpc compressed image, version 1, codec arpc"),
        ("progic/whole", "arpc compressed image, version 1, codec progic"),
        ("lossless/grey", "arpc compressed image, version 1, codec hpac (lossless)"),
        ("bad/version-2", "arpc compressed image, newer than version 1"),
        ("bad/magic-newline", None),
    ],
)
def test_file_knows_vectors(vector: str, words: str | None) -> None:
    if shutil.which("file") is None:
        pytest.skip("no command file")

    def told(*options: str) -> str:
        call = ["file", "-b", "-m", FORMATS / "arpc.magic", *options, FORMATS / "vectors" / f"{vector}.arpc"]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()

    assert (told() == words) == (words is not None)
    assert (told("--mime-type") == MIME_TYPE) == (words is not None)


def test_desktops_are_told_the_same() -> None:
    (kind,) = ElementTree.parse(FORMATS / "arpc.xml").getroot()
    assert kind.get("type") == MIME_TYPE
    found = {element.tag.rpartition("}")[2]: element for element in kind.iter()}
    assert unescaped(found["match"].get("value", "")) == MAGIC
    assert found["glob"].get("pattern") == f"*{EXTENSION}"
