"""`arpc decode`, `verify` and `preview`: pictures, exit codes, what is said."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec.container import Codec, Container, Header, write
from arpc_codec.metrics.psnr import psnr

Run = Callable[..., Result]


def test_decode_and_default_name(arpc: Run, coded: Path) -> None:
    result = arpc("decode", coded)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert Image.open(coded.with_suffix(".png")).size == (48, 32)
    assert arpc("decode", coded).exit_code == 1
    assert arpc("decode", coded, "-f").exit_code == 0
    assert arpc("decode", coded, "--skip-existing").exit_code == 0


@pytest.mark.parametrize(
    ("name", "format"), [("a.png", "PNG"), ("a.webp", "WEBP"), ("a.jpg", "JPEG"), ("a.ppm", "PPM")]
)
def test_formats(arpc: Run, coded: Path, tmp_path: Path, name: str, format: str) -> None:
    assert arpc("decode", coded, "-o", tmp_path / name).exit_code == 0
    assert Image.open(tmp_path / name).format == format
    result = arpc("decode", coded, "-o", "-", "--format", format.lower())
    assert Image.open(io.BytesIO(result.stdout_bytes)).format == format
    assert arpc("decode", coded, "-o", tmp_path / "a.tif").exit_code == 2
    assert arpc("decode", coded, "-o", tmp_path / "a.tif", "--format", "png").exit_code == 0


def test_pipe_in_and_out(arpc: Run, coded: Path) -> None:
    result = arpc("decode", "-", stdin=coded.read_bytes())
    assert result.exit_code == 0
    assert Image.open(io.BytesIO(result.stdout_bytes)).size == (48, 32)


def test_steps_sort_and_end_with_the_picture(arpc: Run, coded: Path, tmp_path: Path) -> None:
    assert arpc("decode", coded, "--steps", tmp_path / "s", "-o", tmp_path / "all.png").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == [f"coded-{k:02d}.png" for k in range(1, 7)]
    assert (tmp_path / "s" / names[-1]).read_bytes() == (tmp_path / "all.png").read_bytes()
    assert arpc("decode", coded, "--steps", tmp_path / "t", "--scales", "2").exit_code == 0
    assert len(list((tmp_path / "t").iterdir())) == 2
    assert not coded.with_suffix(".png").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--certainty", "c.png", "--region", "0,0,8,8"),
        ("--certainty", "c.png", "--skip-existing"),
        ("--steps", "s", "--skip-existing"),
    ],
)
def test_options_that_exclude_each_other(arpc: Run, coded: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    result = arpc("decode", coded, "-o", tmp_path / "a.png", *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "a.png").exists()


def test_certainty_of_the_good_scales(arpc: Run, damaged: Path, tmp_path: Path) -> None:
    result = arpc("decode", damaged, "-o", tmp_path / "a.png", "--certainty", tmp_path / "c.png")
    assert result.exit_code == 3
    assert "picture written" in result.stderr
    assert Image.open(tmp_path / "c.png").mode == "L"


def test_options_of_filling_are_for_scales(arpc: Run, coded: Path) -> None:
    result = arpc("decode", coded, "--fill", "none", "--guidance", "2")
    assert (result.exit_code, "ignored" in result.stderr) == (0, False)


@pytest.fixture
def sent(picture: Callable[..., np.ndarray], micro_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The first two scales of sent.png, coded with a very small model."""
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    Image.fromarray(picture(32, 48)).save(tmp_path / "sent.png")
    path = tmp_path / "sent.arpc"
    path.write_bytes(arpc_codec.encode(tmp_path / "sent.png", model="micro", scales=2))
    return path


FILLS: list[dict[str, Any]] = [
    {"fill": "argmax"},
    *({"fill": "sample", "seed": seed} for seed in (0, 1)),
]


def test_what_was_not_sent_is_made_up_as_asked(arpc: Run, sent: Path, tmp_path: Path) -> None:
    original, pictures, sheets = np.asarray(Image.open(tmp_path / "sent.png")), set(), set()
    for options in ({}, *FILLS):
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        wanted = arpc_codec.decode(sent, **options)
        found = Image.open(io.BytesIO(arpc("decode", sent, "-o", "-", *words).stdout_bytes))
        assert found.tobytes() == wanted.tobytes()
        pictures.add(found.tobytes())
        sheets.add(arpc("preview", sent, "-o", "-", *words).stdout_bytes)
        likeness = psnr(original, np.asarray(wanted))
        assert f", PSNR {likeness:.2f} dB" in arpc("verify", sent, "--against", tmp_path / "sent.png", *words).stdout
    assert (len(pictures), len(sheets)) == (4, 4)


def test_certainty_of_the_scales_that_are_used(arpc: Run, sent: Path, tmp_path: Path) -> None:
    data, maps = sent.read_bytes(), []
    for file, words, code in ((data[:-1], (), 6), (data, (), 0), (data, ("-k", "1"), 0)):
        out = ("-o", tmp_path / f"{len(maps)}.png", "--certainty", tmp_path / f"map{len(maps)}.png")
        assert arpc("decode", "-", *out, *words, stdin=file).exit_code == code
        maps.append(Image.open(out[-1]).tobytes())
    one, two = (arpc_codec.certainty(data, scales=scales).tobytes() for scales in (1, 2))
    assert maps == [one, two, one]
    assert one != two


def test_verify_says_what_nothing_checks(arpc: Run, sent: Path) -> None:
    assert arpc("verify", sent).stdout == f"{sent}: ok, 2 of 2 scales good, nothing checks the last 2\n"
    whole = arpc_codec.encode(sent.with_suffix(".png"), model="micro")
    assert arpc("verify", "-", stdin=whole).stdout == "stdin: ok, 3 of 3 scales good\n"


def test_fewer_scales(arpc: Run, coded: Path, tmp_path: Path) -> None:
    pictures = [arpc("decode", coded, "-o", "-", "--scales", k).stdout_bytes for k in (2, 6, 12)]
    assert pictures[0] != pictures[1] == pictures[2]


def test_truncated_is_exit_6_with_a_picture(arpc: Run, cut: Path, tmp_path: Path) -> None:
    result = arpc("decode", cut, "-o", tmp_path / "a.png", "-q")
    assert result.exit_code == 6
    assert result.stderr == f"arpc: {cut}: truncated: 5 of 6 scales arrived; picture written\n"
    assert Image.open(tmp_path / "a.png").size == (48, 32)
    assert arpc("decode", cut, "-o", tmp_path / "b.png", "--allow-truncated").exit_code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert arpc("decode", cut, "--steps", tmp_path / "s").exit_code == 6
    assert len(list((tmp_path / "s").iterdir())) == 5


def test_every_prefix_gives_a_picture_or_exit_3(arpc: Run, coded: Path) -> None:
    data = coded.read_bytes()
    codes = set()
    for size in range(0, len(data), 7):
        result = arpc("decode", "-", "-q", stdin=data[:size])
        codes.add(result.exit_code)
        assert (result.exit_code == 6) == (len(result.stdout_bytes) > 0)
    assert codes == {3, 6}


def test_a_damaged_scale_is_exit_3_with_the_good_scales(arpc: Run, damaged: Path, coded: Path, tmp_path: Path) -> None:
    result = arpc("decode", damaged, "-o", tmp_path / "a.png", "-q")
    assert result.exit_code == 3
    assert result.stderr == f"arpc: {damaged}: scale 5 is damaged: picture written from scales 1-4\n"
    four = arpc("decode", coded, "-o", "-", "--scales", "4").stdout_bytes
    assert (tmp_path / "a.png").read_bytes() == four
    result = arpc("decode", damaged, "--steps", tmp_path / "s", "-q")
    assert result.exit_code == 3
    assert len(list((tmp_path / "s").iterdir())) == 4


def test_alpha_comes_back_exactly(arpc: Run, with_alpha: Path, tmp_path: Path) -> None:
    decoded = Image.open(io.BytesIO(arpc("decode", with_alpha, "-o", "-").stdout_bytes))
    assert decoded.mode == "RGBA"
    original = Image.open(tmp_path / "rgba.png")
    assert np.array_equal(np.asarray(decoded)[..., 3], np.asarray(original)[..., 3])
    flat = arpc("decode", with_alpha, "-o", "-", "--format", "jpeg")
    assert flat.exit_code == 0
    assert "no transparency" in flat.stderr
    cut = with_alpha.read_bytes()[:-3]
    result = arpc("decode", "-", stdin=cut)
    assert result.exit_code == 6
    assert "metadata at its end is missing" in result.stderr
    spoilt = with_alpha.read_bytes()[:-3] + b"abc"
    result = arpc("decode", "-", stdin=spoilt)
    assert result.exit_code == 3
    assert Image.open(io.BytesIO(result.stdout_bytes)).mode == "RGB"
    result = arpc("verify", "-", stdin=spoilt)
    assert (result.exit_code, "DAMAGED" in result.stdout) == (3, True)


def test_files_that_cannot_be_decoded(arpc: Run, coded: Path, tmp_path: Path) -> None:
    assert arpc("decode", "-", stdin=b"junk").exit_code == 3
    assert arpc("decode", tmp_path / "missing.arpc").exit_code == 1
    assert arpc("decode", tmp_path, "-o", "-").exit_code == 2
    for codec, model in ((Codec.ARPC, 77), (Codec.PROGIC, 77), (Codec.PROGIC, 1)):
        other = write(Container(Header(codec, model, 8, 8, 1), (b"x",)))
        assert arpc("decode", "-", stdin=other).exit_code == 5
    assert arpc("decode", "-", "--max-pixels", "1000", stdin=coded.read_bytes()).exit_code == 4


def test_the_worst_exit_code_of_many(arpc: Run, coded: Path, cut: Path, damaged: Path, tmp_path: Path) -> None:
    out = ["--out-dir", tmp_path / "out", "-q", "-f"]
    assert arpc("decode", coded, cut, *out).exit_code == 6
    assert arpc("decode", cut, tmp_path / "missing", coded, *out).exit_code == 1
    assert arpc("decode", damaged, cut, tmp_path / "missing", *out).exit_code == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["coded.png", "cut.png", "damaged.png"]


def test_bugs_and_memory_are_one_line(arpc: Run, coded: Path, stand_in: type, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, text in (
        (MemoryError(), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory"),
        (KeyError("x"), "internal error, KeyError: 'x' (ARPC_DEBUG=1 shows where)"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (
            ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"),
            "the Python package torch is not installed",
        ),
        (
            ModuleNotFoundError("No module named 'arpc_codec.x'", name="arpc_codec.x"),
            "internal error, ModuleNotFoundError: No module named 'arpc_codec.x' (ARPC_DEBUG=1 shows where)",
        ),
    ):

        def fail(*_args: object, _error: Exception = error, **_options: object) -> None:
            raise _error

        monkeypatch.setattr(stand_in, "decode", fail)
        result = arpc("decode", coded, "-o", "-")
        assert (result.exit_code, result.stderr) == (1, f"arpc: {coded}: {text}\n")


def test_interrupt_is_exit_130(coded: Path, stand_in: type, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from arpc_codec.cli.main import main

    def interrupt(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stand_in, "decode", interrupt)
    result = CliRunner().invoke(main, ["decode", str(coded), "--device", "cpu"])
    assert result.exit_code == 130
    assert result.stderr.strip() == "arpc: interrupted"
    assert not coded.with_suffix(".png").exists()


def test_verify(arpc: Run, coded: Path, cut: Path, damaged: Path, photo: Path, tmp_path: Path) -> None:
    result = arpc("verify", coded)
    assert (result.exit_code, result.stdout) == (0, f"{coded}: ok, 6 of 6 scales good\n")
    assert arpc("verify", coded, "-q").stdout == ""
    assert arpc("verify", cut).exit_code == 6
    result = arpc("verify", damaged)
    assert (result.exit_code, result.stdout) == (3, f"{damaged}: DAMAGED: scale 5, 4 of 6 scales good\n")
    assert arpc("verify", coded, cut, damaged).exit_code == 3
    result = arpc("verify", coded, "--against", photo)
    assert "PSNR" in result.stdout
    Image.new("RGB", (9, 9)).save(tmp_path / "small.png")
    assert arpc("verify", coded, "--against", tmp_path / "small.png").exit_code == 1
    assert arpc("verify", coded, "--against", tmp_path / "missing.png").exit_code == 1
    assert arpc("verify", coded, cut, "--against", photo).exit_code == 2


def test_stdin_is_not_compared_with_itself(arpc: Run, coded: Path) -> None:
    result = arpc("verify", "-", "--against", "-", stdin=coded.read_bytes())
    assert (result.exit_code, "only once" in result.stderr) == (2, True)


def test_preview(arpc: Run, coded: Path, cut: Path, damaged: Path, tmp_path: Path) -> None:
    assert arpc("preview", coded).exit_code == 0
    sheet = Image.open(coded.with_name("coded-preview.png"))
    assert sheet.width > 4 * 48
    assert sheet.height > 2 * 32
    assert arpc("preview", coded).exit_code == 1
    assert arpc("preview", coded, "-f", "--columns", "1").exit_code == 0
    assert arpc("preview", coded, "-o", coded.with_suffix(".jpg")).exit_code == 2
    assert not coded.with_suffix(".jpg").exists()
    assert Image.open(coded.with_name("coded-preview.png")).height > 6 * 32
    assert arpc("preview", cut, "-o", tmp_path / "c.png").exit_code == 6
    assert arpc("preview", damaged, "-o", tmp_path / "d.png").exit_code == 3
    assert Image.open(tmp_path / "d.png").size


def test_colours_are_no_pgm(arpc: Run, coded: Path, tmp_path: Path) -> None:
    for options in (["-o", tmp_path / "a.pgm"], ["--out-dir", tmp_path, "--format", "pgm"]):
        refused = arpc("decode", coded, *options)
        assert refused.exit_code == 1
        assert refused.stderr == f"arpc: {coded}: PGM holds no colours: use PPM\n"
    assert not list(tmp_path.glob("*.pgm"))
    grey = tmp_path / "grey.png"
    Image.new("L", (9, 7), 80).save(grey)
    assert arpc("encode", grey).exit_code == 0
    assert arpc("decode", tmp_path / "grey.arpc", "-o", tmp_path / "a.pgm").exit_code == 0
    assert (tmp_path / "a.pgm").read_bytes().startswith(b"P5\n9 7\n255\n")


def test_steps_of_nothing_say_that_nothing_arrived(arpc: Run, coded: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.arpc").write_bytes(coded.read_bytes()[:14])
    result = arpc("decode", tmp_path / "cut.arpc", "--steps", tmp_path / "s")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "no complete scale has arrived" in result.stderr


def test_a_folder_that_cannot_be_made_is_named(arpc: Run, coded: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for option in ("--steps", "--out-dir"):
        result = arpc("decode", coded, option, tmp_path / "file" / "s")
        assert result.exit_code == 1
        assert f"cannot make the folder {tmp_path / 'file' / 's'}: Not a directory" in result.stderr


def test_steps_do_not_get_mixed_with_other_results(arpc: Run, coded: Path, tmp_path: Path) -> None:
    steps = tmp_path / "s"
    for option in ("-o", "--certainty"):
        result = arpc("decode", coded, "--steps", steps, option, steps / "coded-02.png", "-f")
        assert result.exit_code == 2
        assert "would be one of the --steps" in result.stderr
        assert not steps.exists()
    steps.mkdir()
    (steps / "coded-05.png").write_bytes(b"of another run")
    assert arpc("decode", coded, "--steps", steps).exit_code == 1
    assert [path.name for path in steps.iterdir()] == ["coded-05.png"]
    assert arpc("decode", coded, "--steps", steps, "-f", "-o", steps / "whole.png").exit_code == 0
    assert len(list(steps.iterdir())) == 7


@pytest.mark.parametrize(
    "words",
    [
        ("decode", ""),
        ("decode", "a.arpc", "-o", ""),
        ("decode", "a.arpc", "--out-dir", ""),
        ("decode", "a.arpc", "--steps", ""),
        ("decode", "a.arpc", "--certainty", ""),
        ("truncate", "a.arpc", "-k", "1", "-o", ""),
        ("preview", "a.arpc", "-o", ""),
        ("packets", "split", "a.arpc", "--mtu", "99", "-o", ""),
        ("packets", "join", "a.packet", "-o", ""),
        ("train", "tokenizer", "--data", ".", "--minutes", "1", "-o", ""),
    ],
)
def test_an_empty_name_is_no_file(
    arpc: Run, coded: Path, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what a variable that is not set leaves, and would be the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.arpc", "a.packet"):
        (tmp_path / name).write_bytes(coded.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    result = arpc(*words)
    assert result.exit_code == 2
    assert "an empty name is no f" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_the_default_name_of_a_local_url(arpc: Run, coded: Path) -> None:
    assert arpc("decode", f"file://{coded}").exit_code == 0
    assert Image.open(coded.with_suffix(".png")).size == (48, 32)
