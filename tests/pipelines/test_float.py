"""Models with a float prior: files survive machines that round differently, and are otherwise like any file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

import arpc_codec
from arpc_codec.cli.main import main
from arpc_codec.codecs.arpc import DEFAULT_GUARD, ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read, truncate
from arpc_codec.entropy.guard import STEP, GuardList, grid_counts
from arpc_codec.errors import ArpcError, FormatError, UsageError
from arpc_codec.prior.coding import FloatPrior
from arpc_codec.zoo.bundle import Bundle, load_folder

Picture = Callable[..., np.ndarray]


@pytest.fixture(scope="module", params=["plain", "headed"])
def codec(float_home: Path, request: pytest.FixtureRequest) -> ArpcCodec:
    return ArpcCodec(load_folder(float_home / request.param, check=True))


def noisy(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    """Another machine's logits."""
    plain = FloatPrior.logits
    monkeypatch.setattr(FloatPrior, "logits", lambda self, *args: change(plain(self, *args)))


def across(guard: float) -> Callable[[Tensor], Tensor]:
    """Every logit moved towards the nearest edge, over it where the guard suffices."""

    def change(logits: Tensor) -> Tensor:
        x = logits.double()
        distance = (x / STEP - torch.floor(x / STEP) - 0.5) * STEP
        return x - (distance * 1.001).clamp(-0.999 * guard, 0.999 * guard)

    return change


# -- whole files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (256, 256), (100, 333)])
def test_every_size_comes_back(codec: ArpcCodec, picture: Picture, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    encoded = codec.encode(pixels)
    container = read(encoded.data)
    assert container.header.guarded
    assert (container.header.tiled, container.header.portable, container.header.conditioned) == (False,) * 3
    decoded = codec.decode(container)
    assert decoded.pixels.shape == (*size, 3)
    assert (decoded.scales, decoded.total_scales, decoded.damaged) == (7, 7, ())


def test_decoder_gets_the_tokens_that_were_encoded(codec: ArpcCodec, picture: Picture) -> None:
    pixels = picture(250, 260)
    h = codec.analyse(pixels)
    assert h.shape == (1, 12, 16, 16)
    schedule = codec.layout(250, 260).schedule
    expected = codec.tokenizer.quantizer(h, schedule).prefixes
    data = codec.encode(pixels).data
    for sent in (3, 7):
        z = codec.latent(read(truncate(data, scales=sent)), sent, Filling("none"))
        assert np.allclose(z.numpy(), expected[sent - 1].numpy(), atol=1e-5)


def test_a_large_picture_is_never_tiled(headed: ArpcCodec) -> None:
    plan = headed.layout(3000, 2000)
    assert [(tile.height, tile.width) for tile in plan.tiles] == [(78, 52)]
    assert plan.grid == (78, 52)


def test_truncated_files_are_filled(codec: ArpcCodec, picture: Picture) -> None:
    data = truncate(codec.encode(picture(256, 256)).data, scales=4)
    shown = {
        fill: codec.decode(read(data), filling=Filling(fill)).pixels for fill in ("mean", "argmax", "sample", "none")
    }
    assert len({pixels.tobytes() for pixels in shown.values()}) == 4
    assert codec.encode(picture(256, 256), scales=4).data == data
    steps = list(codec.steps(read(data), filling=Filling("argmax")))
    assert [step.scales for step in steps] == [1, 2, 3, 4]
    assert np.array_equal(steps[-1].pixels, shown["argmax"])


@pytest.mark.parametrize("targets", [3, pytest.param(9, marks=pytest.mark.thorough)])
def test_part_of_a_scale(targets: int, codec: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole phases, with the list of just these; completed the same way by a machine within the guard."""
    whole = len(codec.encode(picture(256, 256), guard=1e-3).data)
    parts = set()
    for target in np.linspace(whole // 3, whole, targets, endpoint=False, dtype=int).tolist():
        encoded = codec.encode(picture(256, 256), guard=1e-3, target_bytes=target, verify=True)
        assert len(encoded.data) <= target
        assert not encoded.notes
        header = read(encoded.data).header
        parts.add(header.phases)
        with monkeypatch.context() as patch:
            noisy(patch, across(1e-3))
            assert not codec.decode(read(encoded.data), filling=Filling("none")).damaged
    assert {1, 2, 3} & parts


# -- noise -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [2, pytest.param(6, marks=pytest.mark.thorough)])
def test_noise_below_the_guard_never_gives_a_wrong_token(
    kinds: int, codec: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for guard in (DEFAULT_GUARD, 3e-3, 0.1):
        container = read(codec.encode(picture(256, 256), guard=guard).data)
        clean = codec.latent(container, 7, Filling("none"))
        for seed in range(kinds):
            generator = torch.Generator().manual_seed(seed)

            def change(x: Tensor, generator: torch.Generator = generator, guard: float = guard) -> Tensor:
                return x.double() + 0.999 * guard * (2 * torch.rand(x.shape, generator=generator) - 1)

            with monkeypatch.context() as patch:
                noisy(patch, change if seed else across(guard))
                assert torch.equal(codec.latent(container, 7, Filling("none")), clean)


def test_the_list_is_what_saves_the_file(headed: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    container = read(headed.encode(picture(256, 256), guard=0.02).data)
    noisy(monkeypatch, across(0.02))
    assert not headed.decode(container, filling=Filling("none")).damaged
    monkeypatch.setattr(GuardList, "counts", lambda self, logits: grid_counts(logits))
    assert headed.decode(container, filling=Filling("none")).damaged


def test_verifying_raises_a_guard_that_is_too_small(
    headed: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = picture(256, 256)
    assert headed.encode(pixels, verify=True).data == headed.encode(pixels).data
    plain = FloatPrior.logits

    def change(self: FloatPrior, *args: Tensor) -> Tensor:
        logits = plain(self, *args)
        # The machine that verifies has other kernels.
        return logits if torch.backends.mkldnn.enabled else across(3e-4)(logits)

    monkeypatch.setattr(FloatPrior, "logits", change)
    encoded = headed.encode(pixels, guard=1e-6, verify=True)
    assert [note.rpartition(" ")[2] for note in encoded.notes] == ["1e-05", "0.0001", "0.001"]
    assert encoded.data == headed.encode(pixels, guard=1e-3).data
    with pytest.raises(ArpcError, match="does not decode"):
        headed.encode(pixels, guard=0.0, verify=True)


# -- portable files ----------------------------------------------------------------------------------------------------


def test_portable_files_need_no_prior(codec: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(256, 256)
    encoded = codec.encode(pixels, portable=True, verify=True)
    container = read(encoded.data)
    assert container.header.portable
    assert not container.header.guarded
    assert len(encoded.data) == pytest.approx(521 * 12 / 8, abs=30)
    clean = codec.latent(read(codec.encode(pixels).data), 7, Filling("none"))
    with monkeypatch.context() as patch:
        patch.delattr(FloatPrior, "step")
        assert torch.equal(codec.latent(container, 7, Filling("none")), clean)
        short = read(truncate(encoded.data, scales=4))
        without = codec.decode(short, filling=Filling("none")).pixels
    filled = codec.decode(short, filling=Filling("argmax")).pixels
    assert not np.array_equal(filled, without)
    assert np.array_equal(
        filled, codec.decode(read(codec.encode(pixels, scales=4).data), filling=Filling("argmax")).pixels
    )


def test_portable_files_of_exact_models(micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(900, 64)
    for scales in (None, 4):
        portable = read(micro.encode(pixels, portable=True, scales=scales, verify=True).data)
        plain = read(micro.encode(pixels, scales=scales, verify=True).data)
        assert portable.header.tiled
        assert np.array_equal(micro.decode(portable).pixels, micro.decode(plain).pixels)
    part = micro.encode(pixels, portable=True, target_bytes=700, verify=True)
    assert len(part.data) <= 700
    damaged = bytearray(micro.encode(pixels, portable=True).data)
    damaged[-300] ^= 1
    assert micro.decode(read(bytes(damaged))).damaged


def test_verifying_progic(micro_progic: ProgicCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(64, 64)
    assert micro_progic.encode(pixels, verify=True).data == micro_progic.encode(pixels).data
    plain = ProgicCodec.indices
    monkeypatch.setattr(ProgicCodec, "indices", lambda self, container: (plain(self, container)[0] + 1, ()))
    with pytest.raises(ArpcError, match="does not decode"):
        micro_progic.encode(pixels, verify=True)


# -- misuse ------------------------------------------------------------------------------------------------------------


def test_options_that_do_not_fit(headed: ArpcCodec, micro: ArpcCodec, picture: Picture) -> None:
    pixels = picture(32, 32)
    for codec, options in ((micro, {"guard": 1e-3}), (headed, {"guard": 1e-3, "portable": True})):
        with pytest.raises(UsageError, match="guard"):
            codec.encode(pixels, **options)
    with pytest.raises(UsageError, match="guard"):
        headed.encode(pixels, guard=0.2)
    container = read(headed.encode(pixels).data)
    with pytest.raises(FormatError, match="guard lists"):
        headed.decode(replace(container, header=replace(container.header, guarded=False)))


# -- command line and Python -------------------------------------------------------------------------------------------


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert "Traceback" not in result.stderr
    return result


@pytest.mark.parametrize("options", [(), ("--portable",), ("--guard", "1e-3", "--verify"), ("--target-bytes", "400")])
def test_commands(
    float_home: Path, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(float_home))
    source, file, short = tmp_path / "x.png", tmp_path / "x.arpc", tmp_path / "short.arpc"
    Image.fromarray(picture(200, 300)).save(source)
    device = ("--device", "cpu")
    result = run("encode", source, "-m", "headed", "-o", file, *device, *options)
    assert result.exit_code == 0, result.stderr
    described = json.loads(run("info", "--json", file).stdout)
    assert described["portable"] == ("--portable" in options)
    assert described["guarded"] != described["portable"]
    assert run("verify", file, *device).stdout.startswith(f"{file}: ok")
    assert run("truncate", file, "-k", "3", "-o", short).exit_code == 0
    assert run("decode", short, "-o", tmp_path / "y.png", "--fill", "argmax", *device).exit_code == 0
    with Image.open(tmp_path / "y.png") as shown:
        assert shown.size == (300, 200)
    assert run("preview", short, "-o", tmp_path / "sheet.png", *device).exit_code == 0
    assert run("decode", short, "-o", tmp_path / "z.png", "--guidance", "2", *device).exit_code == 2


def test_commands_verify_and_guard_as_asked(
    micro_float: ArpcCodec, float_home: Path, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(float_home))
    source, file, pixels = tmp_path / "x.png", tmp_path / "x.arpc", picture(64, 48)
    Image.fromarray(pixels).save(source)
    words = ("encode", source, "-m", "unscaled", "-o", file, "-f", "--device", "cpu")
    assert run(*words, "--guard", "1e-1").exit_code == 0
    assert file.read_bytes() == micro_float.encode(pixels, guard=0.1).data != micro_float.encode(pixels).data
    plain, moved = FloatPrior.logits, across(0.05)

    def change(self: FloatPrior, *args: Tensor) -> Tensor:
        # The machine that verifies has other kernels.
        return plain(self, *args) if torch.backends.mkldnn.enabled else moved(plain(self, *args))

    monkeypatch.setattr(FloatPrior, "logits", change)
    assert run(*words, "--guard", "0").exit_code == 0
    result = run(*words, "--guard", "0", "--verify")
    assert (result.exit_code, "does not decode" in result.stderr) == (1, True)


def test_options_of_other_codecs(picture: Picture, tmp_path: Path) -> None:
    Image.fromarray(picture(32, 32)).save(tmp_path / "x.png")
    for words in (("-c", "progic", "--portable"), ("-c", "progic", "--guard", "1e-3"), ("--lossless", "--verify")):
        assert run("encode", tmp_path / "x.png", "-o", tmp_path / "x.arpc", *words).exit_code == 2


def test_python(float_home: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(float_home))
    for options in ({}, {"portable": True}, {"verify": True, "guard": 1e-3}):
        data = arpc_codec.encode(picture(64, 96), model="plain", **options)
        assert arpc_codec.decode(data).size == (96, 64)
    with pytest.raises(UsageError):
        arpc_codec.encode(picture(64, 96), codec="progic", portable=True)


# -- reference weights -------------------------------------------------------------------------------------------------


def test_the_reference_model_codes(infinity_tiny: Bundle, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = ArpcCodec(infinity_tiny)
    pixels = picture(336, 224)
    container = read(codec.encode(pixels, verify=True).data)
    expected = codec.tokenizer.quantizer(codec.analyse(pixels), codec.layout(336, 224).schedule).prefixes[-1]
    noisy(monkeypatch, across(DEFAULT_GUARD))
    assert np.allclose(codec.latent(container, 7, Filling("none")).numpy(), expected.numpy(), atol=1e-5)
    decoded = codec.decode(container)
    assert decoded.pixels.shape == (336, 224, 3)
    assert not decoded.damaged
