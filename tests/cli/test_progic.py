"""ProGIC files on the command line and in the Python API, with a very small model of random weights."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import ChunkType, Colour, info, read
from arpc_codec.errors import FormatError, ModelError, TruncatedError, UsageError
from arpc_codec.zoo.registry import models

Run = Callable[..., Result]
MODEL = ("--codec", "progic", "-m", "micro-progic")
API = {"codec": "progic", "model": "micro-progic"}
Y, X = np.mgrid[:32, :48]
RGB = np.stack([X * 5, Y * 7, X + Y], -1).astype(np.uint8)
# Header of 9 bytes, then three times a length, six indices in 8 bytes and a check.
SIZES = [19, 29, 39]


@pytest.fixture(autouse=True)
def home(micro_home: Path, micro_progic: ProgicCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(RGB).save(path)
    return path


@pytest.fixture
def coded(arpc: Run, photo: Path, tmp_path: Path) -> Path:
    path = tmp_path / "coded.arpc"
    assert arpc("encode", photo, "-o", path, *MODEL).exit_code == 0
    return path


@pytest.fixture
def damaged(coded: Path, tmp_path: Path) -> Path:
    """The same file with stage 3 damaged."""
    path = tmp_path / "damaged.arpc"
    path.write_bytes(coded.read_bytes()[:-1] + b"\0")
    assert path.read_bytes() != coded.read_bytes()
    return path


@pytest.fixture
def cut(coded: Path, tmp_path: Path) -> Path:
    """The same file without its last bytes."""
    path = tmp_path / "cut.arpc"
    path.write_bytes(coded.read_bytes()[:-4])
    return path


def test_there_and_back(arpc: Run, photo: Path, tmp_path: Path) -> None:
    result = arpc("encode", photo, "-o", tmp_path / "x.arpc", *MODEL, "--stages", "2", "--caption", "a ramp")
    assert result.exit_code == 0
    assert "2 of 3 stages" in result.stderr
    header = read((tmp_path / "x.arpc").read_bytes()).header
    assert (header.codec.name, header.width, header.height, header.scales) == ("PROGIC", 48, 32, 2)
    assert header.caption == "a ramp"
    result = arpc("decode", tmp_path / "x.arpc")
    assert result.exit_code == 0
    assert result.stderr.endswith("x.png: 2 of 3 stages\n")
    assert Image.open(tmp_path / "x.png").size == (48, 32)


def test_stages_and_scales_are_the_same(arpc: Run, photo: Path, coded: Path) -> None:
    two = arpc("encode", photo, "-o", "-", *MODEL, "--stages", "2").stdout_bytes
    assert len(two) == SIZES[1]
    for other in (
        arpc("encode", photo, "-o", "-", *MODEL, "--scales", "2"),
        arpc("truncate", coded, "-o", "-", "--stages", "2"),
        arpc("truncate", coded, "-o", "-", "-k", "2"),
    ):
        assert other.stdout_bytes == two
    pictures = {
        arpc("decode", "-", "-o", "-", *options, stdin=data).stdout_bytes
        for data, options in ((two, ()), (coded.read_bytes(), ("--stages", "2")), (coded.read_bytes(), ("-k", "2")))
    }
    assert len(pictures) == 1
    assert "only 3 stages are there" in arpc("truncate", coded, "-o", "-", "--stages", "5").stderr


def test_targets_choose_whole_stages(arpc: Run, photo: Path) -> None:
    for target, size in ((19, 19), (28, 19), (29, 29), (1000, 39)):
        assert len(arpc("encode", photo, "-o", "-", *MODEL, "--target-bytes", target).stdout_bytes) == size
    assert len(arpc("encode", photo, "-o", "-", *MODEL, "--target-bpp", 8 * 30 / 1536).stdout_bytes) == SIZES[1]
    result = arpc("encode", photo, "-o", "-", *MODEL, "--target-bytes", "18")
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert "one stage of this picture takes 19" in result.stderr
    result = arpc("truncate", "-", "-o", "-", "--bytes", "18", stdin=arpc_codec.encode(RGB, **API))
    assert result.exit_code == 2
    assert "one stage takes 19 bytes" in result.stderr


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("encode", ["--stages", "2", "--scales", "2", *MODEL]),
        ("encode", ["--stages", "2", "--target-bytes", "90", *MODEL]),
        ("encode", ["--stages", "0", *MODEL]),
        ("encode", ["--stages", "2"]),
        ("encode", ["--stages", "2", "--lossless"]),
        ("encode", ["--adapt", *MODEL]),
        ("decode", ["--stages", "2", "--scales", "2"]),
    ],
)
def test_bad_usage(arpc: Run, photo: Path, coded: Path, command: str, options: list[str]) -> None:
    result = arpc(command, {"encode": photo, "decode": coded}[command], "-o", "-", *options)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_stages_of_other_codecs_are_refused(arpc: Run) -> None:
    scales = arpc_codec.encode(RGB, model="micro", scales=3)
    for command in ("decode", "truncate"):
        result = arpc(command, "-", "-o", "-", "--stages", "2", stdin=scales)
        assert (result.exit_code, "codec arpc has no stages" in result.stderr) == (2, True)


def test_without_a_model_nothing_is_written(arpc: Run, photo: Path) -> None:
    result = arpc("encode", photo, "-o", "-", "--codec", "progic", "-m", "huge")
    assert (result.exit_code, "'huge'" in result.stderr) == (5, True)
    with pytest.raises(ModelError, match="huge"):
        arpc_codec.encode(RGB, codec="progic", model="huge")


def test_the_bundled_model_is_the_codec_s_own(
    arpc: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(tmp_path))
    file, back = tmp_path / "own.arpc", tmp_path / "own.png"
    assert arpc("encode", photo, "-o", file, "--codec", "progic", "--stages", "2").exit_code == 0
    assert info(file.read_bytes()).model_id == 20
    assert arpc("decode", file, "-o", back).exit_code == 0
    with Image.open(photo) as original, Image.open(back) as decoded:
        assert decoded.size == original.size
    # Its stages are coded, which takes the model; packets hold plain indices.
    result = arpc("packets", "split", file, "--mtu", "360", "-o", tmp_path / "parts")
    size = file.stat().st_size
    assert re.search(rf"the file has {size}, \d+ with the plain indices that packets hold$", result.stderr)
    assert arpc("packets", "join", tmp_path / "parts", "-o", tmp_path / "joined.arpc").exit_code == 0
    assert arpc("decode", tmp_path / "joined.arpc", "-o", tmp_path / "joined.png").exit_code == 0
    assert (tmp_path / "joined.png").read_bytes() == back.read_bytes()


def test_models_of_other_codecs_are_exit_5(arpc: Run, photo: Path) -> None:
    assert arpc("encode", photo, "-o", "-", "--codec", "progic", "-m", "micro").exit_code == 5
    assert arpc("encode", photo, "-o", "-", "-m", "micro-progic").exit_code == 5


def test_info_shows_the_bytes_of_every_stage(arpc: Run, coded: Path) -> None:
    text = arpc("info", coded).stdout
    assert "progic, model 102 (micro-progic), 48x32 rgb" in text
    assert "3 stages sent; 39 bytes" in text
    for stage, size in enumerate(SIZES, 1):
        assert f"  stage {stage}        10 B  {size:>8} B" in text
    described = json.loads(arpc("info", "--json", coded).stdout)
    assert (described["codec"], described["scales_declared"]) == ("progic", 3)
    assert described["bpp_per_scale"] == [round(8 * size / 1536, 6) for size in SIZES]
    cut = arpc("info", "-", stdin=coded.read_bytes()[:-1]).stdout
    assert "TRUNCATED: 2 of 3 stages are complete" in cut


def test_steps_and_preview(arpc: Run, coded: Path, cut: Path, damaged: Path, tmp_path: Path) -> None:
    assert arpc("decode", coded, "--steps", tmp_path / "s", "-o", tmp_path / "all.png").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == [f"coded-{k:02d}.png" for k in (1, 2, 3)]
    assert (tmp_path / "s" / names[-1]).read_bytes() == (tmp_path / "all.png").read_bytes()
    assert arpc("decode", coded, "--steps", tmp_path / "t", "--stages", "2").exit_code == 0
    assert len(list((tmp_path / "t").iterdir())) == 2
    assert arpc("preview", coded, "-o", tmp_path / "a.png").exit_code == 0
    result = arpc("preview", cut, "-o", tmp_path / "c.png")
    assert (result.exit_code, "2 of 3 stages arrived; sheet written" in result.stderr) == (6, True)
    result = arpc("preview", damaged, "-o", tmp_path / "d.png")
    assert (result.exit_code, "stage 3 is damaged: sheet written up to stage 2" in result.stderr) == (3, True)


def test_cut_files(arpc: Run, coded: Path, cut: Path, tmp_path: Path) -> None:
    result = arpc("decode", cut, "-o", tmp_path / "a.png", "-q")
    assert result.exit_code == 6
    assert result.stderr == f"arpc: {cut}: truncated: 2 of 3 stages arrived; picture written\n"
    two = arpc("decode", coded, "-o", "-", "--stages", "2").stdout_bytes
    assert (tmp_path / "a.png").read_bytes() == two
    assert arpc("decode", cut, "-o", "-", "--allow-truncated").exit_code == 0
    codes = [arpc("decode", "-", "-o", "-", "-q", stdin=coded.read_bytes()[:size]).exit_code for size in range(39)]
    assert codes == [3] * 19 + [6] * 20
    result = arpc("decode", "-", "-o", "-", stdin=coded.read_bytes()[:18])
    assert "no complete stage has arrived" in result.stderr
    whole = arpc("truncate", cut, "-o", "-", "--stages", "3")
    assert (whole.exit_code, len(whole.stdout_bytes)) == (0, SIZES[1])
    assert arpc("truncate", "-", "-o", "-", "-k", "1", stdin=coded.read_bytes()[:18]).exit_code == 6


def test_damaged_files(arpc: Run, coded: Path, damaged: Path, tmp_path: Path) -> None:
    result = arpc("decode", damaged, "-o", tmp_path / "a.png", "-q")
    assert result.exit_code == 3
    assert result.stderr == f"arpc: {damaged}: stage 3 is damaged: picture written from stages 1-2\n"
    two = arpc("decode", coded, "-o", "-", "--stages", "2").stdout_bytes
    assert (tmp_path / "a.png").read_bytes() == two
    data = coded.read_bytes()
    result = arpc("decode", "-", "-o", "-", stdin=data[:12] + b"\0\0\0" + data[15:])
    assert (result.exit_code, result.stdout_bytes) == (3, b"")
    assert "first stage is damaged" in result.stderr


def test_verify(arpc: Run, coded: Path, cut: Path, damaged: Path, photo: Path) -> None:
    result = arpc("verify", coded)
    assert (result.exit_code, result.stdout) == (0, f"{coded}: ok, 3 of 3 stages good\n")
    result = arpc("verify", cut)
    assert (result.exit_code, result.stdout) == (6, f"{cut}: TRUNCATED, 2 of 3 stages good\n")
    result = arpc("verify", damaged)
    assert (result.exit_code, result.stdout) == (3, f"{damaged}: DAMAGED: stage 3, 2 of 3 stages good\n")
    assert "PSNR" in arpc("verify", coded, "--against", photo).stdout


def test_models_check(arpc: Run, micro_progic: ProgicCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "102  micro-progic   progic " in arpc("models", "list").stdout
    assert arpc("models", "path", "micro-progic").stdout == f"{micro_progic.model.entry.path}\n"
    result = arpc("models", "check", "micro-progic", "102")
    assert (result.exit_code, result.stdout) == (0, "micro-progic: ok\n102: ok\n")
    monkeypatch.setenv("ARPC_HOME", str(tmp_path))
    result = arpc("models", "check")
    bundled = [f"{entry.name}: ok" for entry in models()]
    assert (result.exit_code, result.stdout.splitlines()) == (0, bundled)
    weights = copytree(micro_progic.model.entry.path, tmp_path / "other") / "progic.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    for names, sound in ((["micro-progic"], []), ([], bundled)):
        result = arpc("models", "check", *names)
        assert (result.exit_code, result.stdout.splitlines()) == (5, sound)
        assert "weights do not match their fingerprint" in result.stderr
    assert arpc("models", "check", "nothing").exit_code == 5
    assert "tiny: ok" in arpc("models", "check", "tiny").stdout


def test_pipes_and_many_files(arpc: Run, photo: Path, coded: Path, cut: Path, tmp_path: Path) -> None:
    piped = arpc("encode", "-", *MODEL, stdin=photo.read_bytes())
    assert piped.stdout_bytes == coded.read_bytes() == arpc_codec.encode(photo, **API)
    scales = tmp_path / "scales.arpc"
    scales.write_bytes(arpc_codec.encode(RGB, model="micro", scales=2))
    assert arpc("decode", coded, scales, "--out-dir", tmp_path / "out").exit_code == 0
    assert arpc("decode", scales, cut, "--out-dir", tmp_path / "out", "-f").exit_code == 6
    assert len(list((tmp_path / "out").iterdir())) == 3


# -- the Python API ----------------------------------------------------------------------------------------------------


def test_encode_and_decode() -> None:
    data = arpc_codec.encode(RGB, stages=2, caption="a", **API)
    assert data == arpc_codec.encode(Image.fromarray(RGB), scales=2, caption="a", **API)
    assert (arpc_codec.info(data).codec, arpc_codec.info(data).scales_declared) == ("progic", 2)
    picture = arpc_codec.decode(data)
    assert (picture.mode, picture.size) == ("RGB", (48, 32))
    one = arpc_codec.decode(data, stages=1)
    assert one == arpc_codec.decode(data, scales=1) == arpc_codec.decode(arpc_codec.encode(RGB, stages=1, **API))
    assert np.array_equal(arpc_codec.decode_array(data, stages=1), np.asarray(one))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_grey_and_alpha_come_back(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(RGB[..., 0]))
    data = arpc_codec.encode(image, **API)
    container = read(data)
    assert container.header.colour is (Colour.GREY if mode.startswith("L") else Colour.RGB)
    assert [chunk.type for chunk in container.chunks] == [ChunkType.ALPHA] * mode.endswith("A")
    for stages in (1, 3):
        picture = arpc_codec.decode(data, stages=stages)
        assert picture.mode == mode
        if mode.endswith("A"):
            assert np.array_equal(np.asarray(picture)[..., -1], RGB[..., 0])


def test_profiles_pass_through() -> None:
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "PNG", icc_profile=icc)
    data = arpc_codec.encode(out.getvalue(), keep="icc", **API)
    assert arpc_codec.decode(data).info["icc_profile"] == icc
    assert info(data).metadata_bytes > len(icc)


def test_errors() -> None:
    data = arpc_codec.encode(RGB, **API)
    for options in ({"stages": 1, "scales": 1}, {"stages": 1, "target_bytes": 30}, {"stages": 0}, {"target_bytes": 18}):
        with pytest.raises(UsageError):
            arpc_codec.encode(RGB, **API, **options)
    for options in ({"stages": 2}, {"stages": 2, "lossless": True}):
        with pytest.raises(UsageError, match="stages"):
            arpc_codec.encode(RGB, **options)
    with pytest.raises(UsageError, match="only one"):
        arpc_codec.decode(data, stages=1, scales=1)
    with pytest.raises(TruncatedError, match="2 of 3 stages"):
        arpc_codec.decode(data[:-1])
    assert arpc_codec.decode(data[:-1], allow_truncated=True) == arpc_codec.decode(data, stages=2)
    spoilt = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(FormatError, match="stage 3"):
        arpc_codec.decode(spoilt)
    assert arpc_codec.decode(spoilt, stages=2) == arpc_codec.decode(data, stages=2)


@pytest.mark.usefixtures("micro_lossless")
@pytest.mark.parametrize("model", [MODEL, ("--lossless", "-m", "micro-lossless")])
def test_options_of_filling_are_not_ignored_in_silence(
    arpc: Run, photo: Path, tmp_path: Path, model: tuple[str, ...]
) -> None:
    file, out = tmp_path / "x.arpc", tmp_path / "x.png"
    assert arpc("encode", photo, "-o", file, *model).exit_code == 0
    for words in (("--fill", "mean"), ("--guidance", "2"), ("--fill", "none", "--guidance", "0")):
        result = arpc("decode", file, "-f", "-o", out, *words)
        said = " and ".join(word for word in words if word.startswith("--"))
        assert result.exit_code == 0
        assert (
            f"{said} ignored: codec {info(file.read_bytes()).codec} has no scales to fill"
            in result.stderr.splitlines()[0]
        )
    assert "ignored" not in arpc("decode", file, "-f", "-o", out).stderr
