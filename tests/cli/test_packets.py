"""`arpc packets`, and files with holes in the other commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.errors import TruncatedError
from arpc_codec.packets import parse, write

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(micro_home: Path, micro_progic: ProgicCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


@pytest.fixture
def photo(picture: Callable[..., object], tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture(100, 160)).save(path)  # type: ignore[arg-type]
    return path


@pytest.fixture
def coded(arpc: Run, photo: Path, tmp_path: Path) -> Path:
    path = tmp_path / "coded.arpc"
    result = arpc(
        "encode", photo, "-o", path, "--codec", "progic", "-m", "micro-progic", "--caption", "a photo of nothing"
    )
    assert result.exit_code == 0
    return path


@pytest.fixture
def folder(arpc: Run, coded: Path, tmp_path: Path) -> Path:
    """70 positions of three stages in packets of at most 90 bytes."""
    path = tmp_path / "packets"
    assert arpc("packets", "split", coded, "--mtu", "90", "-o", path).exit_code == 0
    return path


@pytest.fixture
def holed(arpc: Run, folder: Path, tmp_path: Path) -> Path:
    """A file without what the second packet had."""
    sorted(folder.iterdir())[1].unlink()
    path = tmp_path / "holed.arpc"
    assert arpc("packets", "join", folder, "-o", path).exit_code == 6
    return path


def test_there_and_back(arpc: Run, coded: Path, folder: Path, tmp_path: Path) -> None:
    parts = sorted(folder.iterdir())
    assert [path.name for path in parts] == [f"coded-{number}.packet" for number in range(1, len(parts) + 1)]
    assert max(path.stat().st_size for path in parts) <= 90
    result = arpc("packets", "join", folder, "-o", tmp_path / "back.arpc")
    assert (result.exit_code, (tmp_path / "back.arpc").read_bytes()) == (0, coded.read_bytes())
    size = coded.stat().st_size
    assert result.stderr == f"arpc: {tmp_path / 'back.arpc'}: {len(parts)} packets, nothing missing: {size} bytes\n"
    # Single packets, a pipe, and not over a file that exists.
    assert arpc("packets", "join", *reversed(parts), "-o", "-").stdout_bytes == coded.read_bytes()
    assert arpc("packets", "join", folder, "-o", tmp_path / "back.arpc").exit_code == 1
    assert arpc("packets", "join", folder, "-o", tmp_path / "back.arpc", "-f", "-q").stderr == ""


def test_split_says_what_it_makes(arpc: Run, coded: Path, tmp_path: Path) -> None:
    plain = arpc("packets", "split", coded, "--mtu", "90", "-o", tmp_path / "a")
    sizes = [path.stat().st_size for path in (tmp_path / "a").iterdir()]
    end = f"{len(sizes)} packets of {sum(sizes)} bytes, the file has {coded.stat().st_size}\n"
    assert plain.stderr == f"arpc: {coded}: -> {tmp_path / 'a'}: {end}"
    assert arpc("packets", "split", coded, "--mtu", "90", "-o", tmp_path / "a").exit_code == 1
    assert arpc("packets", "split", coded, "--mtu", "90", "-o", tmp_path / "a", "-f").exit_code == 0
    options = ("--mtu", "90", "--no-interleave", "--redundancy", "0.5")
    assert arpc("packets", "split", "-", *options, "-o", tmp_path / "b", stdin=coded.read_bytes()).exit_code == 0
    more = [path.stat().st_size for path in (tmp_path / "b").glob("stdin-*.packet")]
    assert 1.3 * sum(sizes) < sum(more) <= 1.5 * sum(sizes)


def test_plain_indices_need_no_model(arpc: Run, coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARPC_HOME")
    assert arpc("decode", coded).exit_code == 5
    assert arpc("packets", "split", coded, "--mtu", "90", "-o", tmp_path / "a").exit_code == 0
    assert arpc("packets", "join", tmp_path / "a", "-o", "-").stdout_bytes == coded.read_bytes()


def test_packets_of_another_file_of_that_name(arpc: Run, coded: Path, folder: Path, tmp_path: Path) -> None:
    """Joined with those of this one they would win, if there are more of them."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (folder / "coded-2.packet.txt").touch()
    (folder / "other-1.packet").touch()
    other = tmp_path / "more" / "coded.arpc"
    other.parent.mkdir()
    assert arpc("truncate", coded, "-o", other, "--stages", "1").exit_code == 0
    fresh = tmp_path / "fresh"
    assert arpc("packets", "split", other, "--mtu", "9000", "-o", fresh).exit_code == 0
    names = sorted(path.name for path in fresh.iterdir())
    assert len(names) < len(before)
    for name in names:
        (folder / name).unlink()
    # None of its own names is taken.
    result = arpc("packets", "split", other, "--mtu", "9000", "-o", folder)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "packet of another file" in result.stderr
    assert not (folder / names[0]).exists()
    assert arpc("packets", "split", other, "--mtu", "9000", "-o", folder, "-f").exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "coded-2.packet.txt", "other-1.packet"])
    assert (folder / names[0]).read_bytes() == (fresh / names[0]).read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--mtu", "20"], "too small"), (["--mtu", "0"], "--mtu"), (["--mtu", "70000"], "65535"), ([], "--mtu")],
)
def test_bad_usage(arpc: Run, coded: Path, tmp_path: Path, options: list[str], said: str) -> None:
    result = arpc("packets", "split", coded, "-o", tmp_path / "x", *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert said in result.stderr
    assert not (tmp_path / "x").exists()


def test_cut_files_are_not_split(arpc: Run, coded: Path, tmp_path: Path) -> None:
    data = coded.read_bytes()
    result = arpc("packets", "split", "-", "--mtu", "90", "-o", tmp_path / "x", stdin=data[:-1])
    assert (result.exit_code, "cut" in result.stderr) == (6, True)
    assert arpc("packets", "split", "-", "--mtu", "90", "-o", tmp_path / "x", stdin=data[:5]).exit_code == 3


def test_bad_packets_are_named_and_left_out(arpc: Run, coded: Path, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.arpc"
    assert arpc("truncate", coded, "-o", other, "--stages", "1").exit_code == 0
    assert arpc("packets", "split", other, "--mtu", "90", "-o", folder).exit_code == 0
    (folder / "coded-0.packet").write_bytes((folder / "coded-1.packet").read_bytes()[:-1] + b"\0")
    (folder / "notes.txt").write_text("not a packet")
    foreign = len(list(folder.glob("other-*")))
    result = arpc("packets", "join", folder, "-o", tmp_path / "back.arpc", "-q")
    assert (result.exit_code, (tmp_path / "back.arpc").read_bytes()) == (0, coded.read_bytes())
    lines = result.stderr.splitlines()
    assert len(lines) == foreign + 2
    assert lines[0].endswith("coded-0.packet: damaged: its check is wrong")
    assert lines[1].endswith("notes.txt: not a packet")
    assert all(": of another picture (" in line for line in lines[2:])


def test_packets_of_too_large_a_picture(arpc: Run, folder: Path, tmp_path: Path) -> None:
    first = sorted(folder.iterdir())[0]
    result = arpc("packets", "join", first, "-o", tmp_path / "back.arpc", "--max-pixels", "1000")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        3,
        f"arpc: {first}: 160 x 100 pixels exceed the limit of 1000",
    )
    assert not (tmp_path / "back.arpc").exists()


def test_nothing_to_join(arpc: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert arpc("packets", "join", tmp_path / "empty", "-o", "-").exit_code == 2
    (tmp_path / "empty" / "x").write_bytes(b"x" * 100_000)
    result = arpc("packets", "join", tmp_path / "empty", "-o", "-")
    assert (result.exit_code, result.stdout_bytes) == (3, b"")
    assert len(result.stderr.splitlines()) == 2
    assert arpc("packets", "join", tmp_path / "nothing", "-o", "-").exit_code == 2


def test_packets_that_do_not_make_their_file(arpc: Run, coded: Path, folder: Path, tmp_path: Path) -> None:
    path, out = sorted(folder.iterdir())[1], tmp_path / "back.arpc"
    packet = parse(path.read_bytes())
    path.write_bytes(write(replace(packet, content=bytes(len(packet.content)))))
    result = arpc("packets", "join", folder, "-o", out, "-q")
    assert result.exit_code == 3
    assert result.stderr == f"arpc: {out}: the packets do not make the file that they name; file written\n"
    assert out.read_bytes() != coded.read_bytes()


def test_missing_packets(arpc: Run, folder: Path, coded: Path, tmp_path: Path) -> None:
    parts = sorted(folder.iterdir())
    result = arpc("packets", "join", *parts[:1], *parts[2:], "-o", tmp_path / "a.arpc", "-q")
    assert result.exit_code == 6
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"arpc: {tmp_path / 'a.arpc'}: of 70 positions stages 1-3 lack ")
    assert lines[0].endswith("; file written")
    result = arpc("packets", "join", *parts[:-1], "-o", tmp_path / "b.arpc")
    assert (result.exit_code, "7 bytes of metadata are missing" in result.stderr) == (6, True)
    assert arpc("decode", tmp_path / "b.arpc").exit_code == 0


def test_files_with_holes_in_other_commands(arpc: Run, holed: Path, photo: Path, tmp_path: Path) -> None:
    result = arpc("decode", holed, "-o", tmp_path / "a.png", "-q")
    assert result.exit_code == 6
    assert result.stderr.startswith(f"arpc: {holed}: holes: of 70 positions stages 1-3 lack ")
    assert result.stderr.endswith("; picture written\n")
    assert Image.open(tmp_path / "a.png").size == (160, 100)
    assert arpc("decode", holed, "-o", "-", "--allow-truncated").exit_code == 0
    assert "HOLES: packets were lost" in arpc("info", holed).stdout
    assert json.loads(arpc("info", "--json", holed).stdout)["holes"] is True
    result = arpc("verify", holed)
    assert (result.exit_code, result.stdout) == (6, f"{holed}: HOLES, 3 of 3 stages good\n")
    result = arpc("preview", holed, "-o", tmp_path / "p.png", "-q")
    assert result.exit_code == 6
    assert result.stderr.startswith(f"arpc: {holed}: holes: of 70 positions stages 1-3 lack ")
    assert Image.open(tmp_path / "p.png").width > 0
    assert arpc("truncate", holed, "-o", tmp_path / "t.arpc", "--stages", "1").exit_code == 0
    assert arpc("decode", tmp_path / "t.arpc").exit_code == 6
    assert arpc("packets", "split", holed, "--mtu", "90", "-o", tmp_path / "x").exit_code == 2
    data = holed.read_bytes()
    with pytest.raises(TruncatedError, match="holes"):
        arpc_codec.decode(data)
    assert arpc_codec.decode(data, allow_truncated=True).tobytes() == Image.open(tmp_path / "a.png").tobytes()


def test_other_codecs(arpc: Run, photo: Path, micro_lossless: object, tmp_path: Path) -> None:
    for name, options in (("scales", ("-m", "micro")), ("lossless", ("--lossless", "-m", "micro-lossless"))):
        source, folder = tmp_path / f"{name}.arpc", tmp_path / name
        assert arpc("encode", photo, "-o", source, *options).exit_code == 0
        assert arpc("packets", "split", source, "--mtu", "100", "-o", folder, "--redundancy", "1").exit_code == 0
        parts = sorted(folder.iterdir())
        joined = arpc("packets", "join", *parts[1:], "-o", "-")
        assert (joined.exit_code, joined.stdout_bytes) == (0, source.read_bytes())
        short = tmp_path / "short.arpc"
        # The second half are parities.
        assert arpc("packets", "join", *parts[: len(parts) // 2 - 1], "-o", short, "-f").exit_code == 6
        wanted = {"scales": 0, "lossless": 6}[name]
        assert arpc("decode", short, "-o", tmp_path / "short.png", "-f").exit_code == wanted


def test_neither_needs_torch(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom arpc_codec.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "packets", "join", str(folder), "-o", str(tmp_path / "x.arpc")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_coded_stages_need_their_model(
    arpc: Run, micro_coded: object, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert arpc("encode", photo, "-m", "micro-coded", "-c", "progic", "-o", tmp_path / "a.arpc").exit_code == 0
    assert arpc("packets", "split", tmp_path / "a.arpc", "--mtu", "90", "-o", tmp_path / "there").exit_code == 0
    result = arpc("packets", "join", tmp_path / "there", "-o", "-")
    assert "arpc: stdout: " in result.stderr
    monkeypatch.delenv("ARPC_HOME")
    result = arpc("packets", "split", tmp_path / "a.arpc", "--mtu", "90", "-o", tmp_path / "gone")
    assert result.exit_code == 5
    assert "is not on this machine" in result.stderr
