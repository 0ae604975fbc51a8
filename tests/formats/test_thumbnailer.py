"""`formats/arpc.thumbnailer`: its line, run as file managers run it."""

import configparser
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from arpc_codec.pillow import MIME_TYPE

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "formats" / "vectors"


@pytest.fixture(scope="module")
def entry() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "formats" / "arpc.thumbnailer")
    return parser["Thumbnailer Entry"]


def thumbnail(entry: configparser.SectionProxy, source: Path, target: Path, size: int) -> int:
    """The exit code of the line with %i, %o and %s filled in, `arpc` being that of this Python."""
    fields = {"%i": str(source), "%o": str(target), "%s": str(size)}
    program, *words = (fields.get(word, word) for word in shlex.split(entry["Exec"]))
    assert program == entry["TryExec"] == "arpc"
    call = [sys.executable, "-m", "arpc_codec", *words]
    # Where file managers run it there is neither stdin nor a terminal.
    done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == (done.returncode != 0)
    return done.returncode


def test_it_is_for_our_files(entry: configparser.SectionProxy) -> None:
    assert entry["MimeType"] == f"{MIME_TYPE};"
    assert set(entry) == {"TryExec", "Exec", "MimeType"}


def test_its_line_makes_a_png(entry: configparser.SectionProxy, tmp_path: Path) -> None:
    source, target = tmp_path / "a photo.arpc", tmp_path / "thumb"
    source.write_bytes((VECTORS / "tiny" / "whole.arpc").read_bytes()[:-100])
    # They make the file themselves, and only its owner may read it.
    target.touch(0o600)
    assert thumbnail(entry, source, target, 64) == 0
    with Image.open(target) as image:
        assert (image.format, image.size) == ("PNG", (64, 64))
    if os.name == "posix":
        assert target.stat().st_mode & 0o777 == 0o600
    source.write_bytes(b"\xa7A\n")
    assert thumbnail(entry, source, target, 64) == 3
