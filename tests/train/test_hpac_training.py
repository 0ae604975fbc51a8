"""The lossless trainer on made-up photographs: it learns, and what it writes becomes a model that codes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from arpc_codec.cli.main import main
from arpc_codec.codecs.lossless import decode, encode
from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.errors import ArpcError, ModelError
from arpc_codec.exact.pixelstate import export_pixel, import_pixel
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.observed import observe
from arpc_codec.prior.pixel import PixelPrior, coding_bits
from arpc_codec.train.pixel import PixelTraining, Pool, load_clean, varied
from arpc_codec.train.runs import hpac
from arpc_codec.train.weights import grown, load_lossless_config
from arpc_codec.zoo.lossless import GROUPS, load_lossless
from arpc_codec.zoo.registry import find

SMALL = PixelConfig(channels=1, width=16, depth=1, head=12, mixtures=2)


def logged(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [line[name] for line in lines if name in line]


def sizes(path: Path, grey: PixelConfig) -> str:
    """A config file with such priors and tiles of 32x32."""
    priors = {"grey": asdict(grey), "colour": asdict(replace(grey, channels=3))}
    path.write_text(json.dumps({"hpac": {"tile": 32, **priors}}))
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    with tarfile.open(folder / "train-clean.tar", "w") as archive:
        for name, seed in (("C00000", 1), ("C00001", 2), ("C00002", 3), ("V00000", 4)):
            buffer = io.BytesIO()
            Image.fromarray(picture(48, 48, seed)).save(buffer, "WEBP", lossless=True)
            member = tarfile.TarInfo(f"{name}.webp")
            member.size = buffer.tell()
            archive.addfile(member, io.BytesIO(buffer.getvalue()))
    return folder


def test_from_photos_to_payloads(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., np.ndarray]
) -> None:
    config = sizes(tmp_path / "small.json", SMALL)
    monkeypatch.setattr(hpac, "PixelTraining", lambda tile: PixelTraining(32, 2, lr=5e-3, tile=tile, pool=8))
    weights = {}
    for group in ("grey", "colour"):
        hpac.run_hpac(group, data, tmp_path / group, 0.08, config=config)
        weights[group] = str(tmp_path / group / "ema.safetensors")
        bits = logged(tmp_path / group, "bits")
        assert bits[-1] < bits[0]
        assert logged(tmp_path / group, "val_bits")
    mark = hpac.run_export_hpac(weights, tmp_path / "model", 200, "micro", "x", config)
    with pytest.raises(ArpcError, match="exists already"):
        hpac.run_export_hpac(weights, tmp_path / "model", 200, "micro", "x", config)
    model = load_lossless(tmp_path / "model", check=True)
    assert model.entry.fingerprint == mark
    samples = picture(40, 56, 9)
    payload = encode(samples, model.coders, 32)
    assert len(payload) < samples.nbytes
    found = decode(payload, samples.shape, np.uint8, model.coders, 32)
    assert found.sound
    assert np.array_equal(found.samples, samples)

    # What is not trained anew keeps its integers.
    parts = weights | {"grey": str(tmp_path / "model")}
    assert hpac.run_export_hpac(parts, tmp_path / "same", 201, "same", "x", config) == mark

    # A larger network goes on from the integers of the model: what it adds does nothing yet.
    larger = sizes(tmp_path / "larger.json", replace(SMALL, depth=3, head=20, expand=4))
    hpac.run_hpac("grey", data, tmp_path / "larger", 1e-9, init=str(tmp_path / "model"), config=larger)
    before, after = (logged(tmp_path / run, "val_bits")[-1] for run in ("grey", "larger"))
    assert after == pytest.approx(before, abs=0.02)


@pytest.mark.parametrize("change", [{"depth": 4}, {"head": 33}, {"expand": 5}, {"depth": 2, "head": 13, "expand": 4}])
def test_growing_changes_nothing_at_first(change: dict[str, int], picture: Callable[..., np.ndarray]) -> None:
    torch.manual_seed(1)
    small = PixelPrior(replace(SMALL, channels=3))
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    large = PixelPrior(replace(small.config, **change))
    large.load_state_dict(grown(small.state_dict(), large))
    seen = observe(picture(24, 24, 3)[None].astype(np.float64), 8).float()
    with torch.no_grad():
        before, after = (coding_bits(model, seen) for model in (small, large))
    assert torch.allclose(before, after, atol=1e-4)
    # Everything new can learn: some loss reaches it, or what comes behind it.
    coding_bits(large, seen).mean().backward()
    for name, parameter in large.named_parameters():
        if name.startswith("outer") or name.endswith(("proj.weight", "down.weight")):
            assert parameter.grad is not None
            assert (parameter.grad.abs().sum(0) > 0).all(), name

    # What learned something is coded alike by the compiled wavefront and numpy.
    with torch.no_grad():
        for parameter in large.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    coder = PixelCoder(large.config, export_pixel(large.double()))
    made = picture(19, 21, 4)[None].astype(np.int32)
    streams = coder.encode(made, 8)
    with pytest.MonkeyPatch.context() as numpy:
        numpy.setenv("ARPC_NATIVE", "0")
        assert coder.encode(made, 8) == streams
    assert np.array_equal(coder.decode(streams, (19, 21), 8)[0], made)


def test_growing_does_not_shrink_or_widen() -> None:
    state = PixelPrior(SMALL).state_dict()
    for change in ({"head": 11}, {"width": 17}, {"depth": 0}, {"mixtures": 3}, {"channels": 3}):
        with pytest.raises(ModelError, match="another size"):
            grown(state, PixelPrior(replace(SMALL, **change)))


@pytest.mark.parametrize(
    ("start", "config"),
    [("lossless", "lossless"), ("lossless", "lossless-large"), ("lossless-large", "lossless-large")],
)
def test_bundled_models_grow_into_the_bundled_config(start: str, config: str) -> None:
    found = load_lossless(find(start).path)
    for channels, group in GROUPS.items():
        own = import_pixel(found.coders[channels].config, found.coders[channels].state)
        model = PixelPrior(load_lossless_config(config).priors[group])
        model.load_state_dict(grown(own.state_dict(), model))


def test_no_picture_is_shown_twice_the_same_way(picture: Callable[..., np.ndarray]) -> None:
    pictures = [picture(40, 48, seed) for seed in range(3)]
    pool = Pool(pictures, PixelTraining(crop=16, batch=3, tile=256, pool=4, renewal=2))
    made = [pool.crops(np.random.default_rng(index)) for index in range(5)]
    assert [seen.samples.shape for seen in made] == [(3, 16, 16, 3)] * 5
    assert len(pool.tiles) == 4
    assert pool.side == 40
    # The same steps draw the same crops.
    again = Pool(pictures, pool.setup)
    for index, seen in enumerate(made):
        other = again.crops(np.random.default_rng(index))
        assert torch.equal(seen.samples, other.samples)
        assert torch.equal(seen.statistics, other.statistics)
    squares = [varied(pictures[0], 40, np.random.default_rng(seed)) for seed in range(64)]
    assert {square.shape for square in squares} == {(40, 40, 3)}
    assert len({square.tobytes() for square in squares}) > 40
    grey = [varied(pictures[0][..., :1], 40, np.random.default_rng(seed)) for seed in range(64)]
    wanted = sorted(set(pictures[0][:, :, 0].ravel().tolist()))
    assert all(set(square.ravel().tolist()) <= set(wanted) for square in grey)


def shard(folder: Path, pictures: dict[str, tuple[int, int]]) -> None:
    with tarfile.open(folder / "train-clean.tar", "w") as archive:
        for name, (height, width) in pictures.items():
            buffer = io.BytesIO()
            Image.new("RGB", (width, height)).save(buffer, "WEBP", lossless=True)
            member = tarfile.TarInfo(name)
            member.size = buffer.tell()
            archive.addfile(member, io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ({"C0.webp": (32, 32), "x.webp": (32, 32)}, r"x\.webp begins neither with C"),
        ({"V0.webp": (32, 32)}, "no WebP picture for training"),
        ({"C0.webp": (32, 32)}, "no WebP picture for validation"),
        ({"C0.webp": (32, 33), "V0.webp": (32, 32)}, r"C0\.webp is 33x32: sides must be even"),
    ],
)
def test_shards_that_cannot_be_trained_on(pictures: dict[str, tuple[int, int]], said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="train-clean"):
        load_clean(tmp_path)
    shard(tmp_path, pictures)
    with pytest.raises(ModelError, match=said):
        load_clean(tmp_path)
    (tmp_path / "train-clean.tar").write_text("no tar")
    with pytest.raises(ModelError, match="damaged"):
        load_clean(tmp_path)


def test_crops_fit_into_pictures_and_tiles(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="crops of 64x64 pixels cannot be cut from pictures of 48"):
        hpac.run_hpac("grey", data, tmp_path / "run", 0.01)
    with pytest.raises(ModelError, match="cut from tiles of 32"):
        hpac.run_hpac("grey", data, tmp_path / "run", 0.01, config=sizes(tmp_path / "small.json", SMALL))


@pytest.mark.parametrize("words", [("hpac", "--group", "grey", "--init", "tiny"), ("export-hpac", "--grey", "tiny")])
def test_a_prior_of_another_codec_is_refused(words: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    more = ["--data", data, "--minutes", 1] if words[0] == "hpac" else ["--colour", "lossless", "--id", 4000]
    more += [] if words[0] == "hpac" else ["--name", "mine", "--licence", "own"]
    result = CliRunner().invoke(main, ["train", *map(str, [*words, *more, "-o", tmp_path / "out"])])
    assert (result.exit_code, result.stderr) == (5, "arpc: model 'tiny' belongs to codec arpc, not to hpac\n")
    assert not (tmp_path / "out").exists()
