"""What trainers are given and cannot use, or not all of: one line says so, before time is spent."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

from arpc_codec.cli.main import main
from arpc_codec.errors import ModelError, NoteWarning
from arpc_codec.prior.config import check_tokens
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.tokenizer.progic import Progic, ProgicConfig
from arpc_codec.train import indices
from arpc_codec.train.adversary import Adversary
from arpc_codec.train.data import CropSampler, Photos, load_photos, random_crop
from arpc_codec.train.indices import IndexTraining, encode_all
from arpc_codec.train.runs import arpc, progic
from arpc_codec.train.tokenizer import Rated
from arpc_codec.train.weights import CONFIGS, TrainingConfig, load_config

COLUMNS = ("key", "shard", "source_repo", "tier")
SIZES: dict[str, Any] = {
    "tokenizer": {
        "channels": 8,
        "encoder_widths": [8, 8],
        "encoder_depths": [1, 1],
        "decoder_widths": [8, 8, 8, 8],
        "decoder_depths": [1, 1, 1, 1],
        "steps": [1.0, 1.6, 2.5, 4.0, 6.3],
        "active": [8] * 5,
        "groups": [2, 8],
    },
    "prior": {"d": 40, "groups": [2, 8], "embed_dim": 32, "depth": 1, "num_heads": 2},
    "context": {"width": 16},
}


@pytest.fixture(autouse=True)
def _bundled_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARPC_HOME", raising=False)


def arpc_train(*words: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, words)])


def one_line(result: Result, code: int, said: str) -> None:
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1), result.stderr
    assert said in result.stderr
    assert "internal error" not in result.stderr


def config(folder: Path, **changes: dict[str, Any]) -> Path:
    path = folder / "sizes.json"
    path.write_text(json.dumps({part: values | changes.get(part, {}) for part, values in SIZES.items()}))
    return path


def flat(*sizes: tuple[int, int]) -> Photos:
    """Black pictures of these (height, width)."""
    return Photos([f"{i}" for i in range(len(sizes))], [np.zeros((*size, 3), np.uint8) for size in sizes])


# -- configs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": [98]}, "tokens of the tokenizer and those of the prior differ: groups"),
        ({"d": 480, "groups": [96]}, "bits 490 and 480, channels 98 and 96"),
        ({"repeats": 9}, "the prior repeats 9 of 8 scales of one size"),
        ({"repeats": 8}, "the prior repeats 8 of 8"),
    ],
)
def test_tokenizer_and_prior_have_the_same_tokens(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    values = json.loads((CONFIGS / "tiny.json").read_text("utf-8"))
    values["prior"] |= change
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    weights = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, weights)
    common = ("--config", path, "--tokenizer", weights, "-o", tmp_path / "out")
    one_line(arpc_train("prior", *common, "--data", tmp_path, "--minutes", 1), 5, said)
    naming = ("--id", 4000, "--name", "mine", "--licence", "own")
    one_line(arpc_train("export", *common, "--prior", weights, *naming), 5, said)
    assert not (tmp_path / "out").exists()


def test_signs_and_integers_are_different_tokens() -> None:
    sizes = load_config("tiny")
    check_tokens(sizes.tokenizer, sizes.prior)
    with pytest.raises(ValueError, match="differ"):
        check_tokens(TokenizerConfig(channels=490), sizes.prior)


def test_only_signs_have_hidden_units(tmp_path: Path) -> None:
    assert "hidden" not in json.loads((CONFIGS / "tiny.json").read_text("utf-8"))["context"]
    assert load_config("tiny").context_hidden == TrainingConfig.context_hidden
    assert load_config(str(config(tmp_path, context={"hidden": 3}))).context_hidden == 3


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_depths": [2, 4, 4]},
        {"encoder_widths": [8]},
        {"decoder_widths": [8, 8]},
        {"decoder_depths": [1, 1, 1, -1]},
        {"decoder_widths": [8, 8, 8, 0]},
        {"channels": 2, "groups": [2], "active": [2] * 5, "texture": True},
    ],
)
def test_networks_of_other_resolutions_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = config(tmp_path, tokenizer=change)
    result = arpc_train("tokenizer", "--config", path, "--data", tmp_path, "-o", tmp_path / "out", "--minutes", 1)
    one_line(result, 5, "tokenizer config")


# -- weights -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end where training would begin."""
    for runs, name in ((arpc, "train_prior"), (progic, "train_progic")):
        monkeypatch.setattr(runs, name, lambda *given: None)
        monkeypatch.setattr(runs, "load_photos", lambda data: (flat((512, 768)), flat((512, 768))))
    monkeypatch.setattr(progic, "start", lambda *given, **options: None)


@pytest.mark.usefixtures("untrained")
def test_a_prior_starts_from_weights_that_fit(tmp_path: Path) -> None:
    path, sizes = config(tmp_path), load_config(str(config(tmp_path)))
    tokenizer, other = tmp_path / "tokenizer.safetensors", tmp_path / "other.safetensors"
    save_file(Tokenizer(sizes.tokenizer).state_dict(), tokenizer)
    words = ("prior", "--config", path, "--data", tmp_path, "--tokenizer", tokenizer, "--minutes", 1)
    one_line(arpc_train(*words, "--init", tokenizer, "-o", tmp_path / "none"), 5, "none of its weights fits")

    known = arpc.Prior(sizes.prior, sizes.context_width).state_dict()
    save_file(known, other)
    result = arpc_train(*words, "--init", other, "-o", tmp_path / "all")
    assert (result.exit_code, result.stderr) == (0, "")
    known["elsewhere"] = known.pop("trunk.pos_start")
    save_file(known, other)
    result = arpc_train(*words, "--init", other, "-o", tmp_path / "most")
    said = "1 of its weights do not fit and are left out (elsewhere); 1 weights of the network start anew (trunk.pos_"
    one_line(result, 0, said)
    (line,) = (tmp_path / "most" / "log.jsonl").read_text("utf-8").splitlines()
    assert said in json.loads(line)["note"]


@pytest.mark.usefixtures("untrained")
def test_a_progic_network_says_what_it_lacks(tmp_path: Path) -> None:
    sizes = {name: value for name, value in SIZES["tokenizer"].items() if name.startswith(("en", "de", "channels"))}
    (tmp_path / "progic.json").write_text(json.dumps({"progic": sizes | {"entries": 16}}))
    weights = tmp_path / "weights.safetensors"
    words = ("progic", "--config", tmp_path / "progic.json", "--data", tmp_path, "--metrics", tmp_path, "--minutes", 1)
    words += ("--init", weights, "-o", tmp_path / "run")
    save_file(Tokenizer(TokenizerConfig.from_json(sizes)).state_dict(), weights)
    one_line(arpc_train(*words), 0, "start anew (quantizer.codebooks, quantizer.")
    save_file({"a": torch.zeros(1)}, weights)
    one_line(arpc_train(*words), 5, "none of its weights fits")


def test_the_result_of_a_tokenizer_is_no_start(tmp_path: Path) -> None:
    sizes, path = load_config(str(config(tmp_path))), tmp_path / "weights.safetensors"
    words = ("tokenizer", "--config", tmp_path / "sizes.json", "--data", tmp_path, "-o", tmp_path / "run")
    words += ("--minutes", 1, "--init", path)
    save_file(Tokenizer(sizes.tokenizer).state_dict(), path)
    one_line(arpc_train(*words), 5, "take ema.safetensors beside it")
    larger = TokenizerConfig.from_json(SIZES["tokenizer"] | {"encoder_widths": [8, 16]})
    save_file(Rated(Tokenizer(larger)).state_dict(), path)
    one_line(arpc_train(*words), 5, "weights of another network, or of other sizes")
    assert not (tmp_path / "run").exists()


def test_discriminators_are_what_they_say(tmp_path: Path) -> None:
    sizes, names = load_config(str(config(tmp_path))), ("tokenizer", "prior", "adversary")
    networks = Tokenizer(sizes.tokenizer), arpc.Prior(sizes.prior, sizes.context_width), Adversary(0.5)
    paths = [tmp_path / f"{name}.safetensors" for name in names]
    for path, network in zip(paths, networks, strict=True):
        save_file(network.state_dict(), path)
    words = ("--config", tmp_path / "sizes.json", "--data", tmp_path, "--metrics", tmp_path, "-o", tmp_path / "run")
    words += ("--tokenizer", paths[0], "--prior", paths[1], "--minutes", 1)
    one_line(arpc_train("decoder", *words, "--discriminators", paths[2]), 2, "have no share")
    words += ("--adversary", 0.3)
    one_line(arpc_train("decoder", *words, "--discriminators", paths[0]), 5, "weights of another network")
    # Those that fit get as far as the data.
    one_line(arpc_train("decoder", *words, "--discriminators", paths[2]), 5, "index.csv is missing")


@pytest.mark.parametrize("name", ["runs/emma.safetensors", "emma.safetensors", "./emma"])
def test_a_path_that_is_not_there_is_no_model(name: str, tmp_path: Path) -> None:
    words = ("prior", "--data", tmp_path, "-o", tmp_path / "run", "--minutes", 1)
    for more in (("--init", name, "--lr", 1e-3), ("--tokenizer", name)):
        one_line(arpc_train(*words, *more), 2, f"no such file: {name}")
    one_line(arpc_train("export-hpac", "--grey", name), 2, f"no such file: {name}")


def test_a_prior_of_another_codec_is_refused(tmp_path: Path) -> None:
    sizes, path = load_config(str(config(tmp_path))), tmp_path / "weights.safetensors"
    save_file(Tokenizer(sizes.tokenizer).state_dict(), path)
    words = ("--config", tmp_path / "sizes.json", "--tokenizer", path, "-o", tmp_path / "out", "--id", 4000)
    result = arpc_train("export", *words, "--name", "mine", "--licence", "own", "--prior", "lossless")
    one_line(result, 5, "model 'lossless' belongs to codec hpac, not to arpc")


# -- photographs -------------------------------------------------------------------------------------------------------


def write(folder: Path, rows: Iterable[tuple[str, ...]], shards: dict[str, list[str]], columns=COLUMNS) -> Path:
    """Data with this index, and in each shard pictures of these names."""
    for shard, names in shards.items():
        with tarfile.open(folder / shard, "w") as archive:
            for name in names:
                buffer = io.BytesIO()
                Image.new("RGB", (16, 16)).save(buffer, "WEBP")
                member = tarfile.TarInfo(name)
                member.size = buffer.tell()
                archive.addfile(member, io.BytesIO(buffer.getvalue()))
    with (folder / "index.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([columns, *rows])
    return folder


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [(f"{i}", "a.tar", "own", "std") for i in range(4)] + [("4", "a.tar", "own", "cap")]
    rows += [("5", "a.tar", "BIDS/BSDS500", "std"), ("6", "b.tar", "own", "std"), ("7", "b.tar", "own", "std")]
    write(tmp_path, rows, {"a.tar": ["0.webp", "1.webp", "2.webp", "4.webp", "other.webp", "note.txt"]})
    with pytest.warns(NoteWarning) as notes:
        train, held = load_photos(tmp_path)
    assert (train.keys, held.keys) == (["1", "2"], ["0"])
    (said,) = (str(note.message) for note in notes)
    assert "of 8 photos 5 are left out" in said
    for reason in ("1 (tier cap)", "1 (terms exclude commercial use)", "1 (not in a.tar)", "2 (b.tar is missing)"):
        assert reason in said


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ([("0", "a.tar", "own")], COLUMNS[:3], "line 2: no tier; it needs key, shard, source_repo, tier"),
        ([("0", "a.tar", "own", "std"), ("1",)], COLUMNS, "line 3: no shard and no source_repo and no tier"),
        ([("x", "a.tar", "own", "std")], COLUMNS, r"of 1 photos 1 are left out: 1 \(not in a\.tar\)"),
        ([("0", "a.tar", "own", "cap")], COLUMNS, r"1 \(tier cap\)"),
        ([("0", "b.tar", "own", "std")], COLUMNS, r"1 \(b\.tar is missing\)"),
        ([("0", "a.tar", "own", "std")], COLUMNS, "of 1 photos 0 are left out; 1 held out"),
        ([("0", "index.csv", "own", "std")], COLUMNS, "not a shard of WebP pictures"),
    ],
)
def test_data_without_photos_say_why(
    rows: list[tuple[str, ...]], columns: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    write(tmp_path, rows, {"a.tar": ["0.webp"]}, columns)
    with pytest.raises(ModelError, match=said):
        load_photos(tmp_path)


def test_crops_come_from_photos_that_hold_them() -> None:
    """However few they are."""
    photos = flat(*[(64, 64)] * 300, (96, 64))
    for size in ((64, 96), (96, 64)):
        pool = photos.holding(size)
        assert pool.keys == ["300"]
        assert random_crop(np.random.default_rng(0), pool, size).shape == (*size, 3)


def test_every_size_is_looked_for_before_training() -> None:
    photos = flat((400, 700), (100, 80))
    CropSampler(photos, ((256, 384, 1, 1.0),))
    with pytest.raises(ModelError, match="no photo holds a 768x512 crop: 2 photos, the largest 700x400"):
        CropSampler(photos, ((256, 384, 1, 1.0), (512, 768, 1, 1e-9)))
    with pytest.raises(ModelError, match="0 photos"):
        CropSampler(flat(), ((256, 384, 1, 1.0),))


def test_held_out_photos_are_looked_at_before_the_others_are_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indices, "encoded", lambda *given: pytest.fail("encoded"))
    network, setup = Progic(ProgicConfig(entries=16)), IndexTraining(crops=((64, 64, 4), (64, 96, 4)))
    with pytest.raises(ModelError, match="no held-out photo holds a 96x64 crop: 1 photos, the largest 64x64"):
        encode_all(network, (flat((64, 96)), flat((64, 64))), tmp_path, setup)


def test_help_says_what_each_command_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "index.csv" in arpc_train("tokenizer", "--help").stdout
    assert "index.csv" not in arpc_train("hpac", "--help").stdout
    assert "train-clean.tar" in arpc_train("hpac", "--help").stdout
