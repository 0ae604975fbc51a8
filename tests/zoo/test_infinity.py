"""Import of published checkpoints with the public command: any size, strict keys, nothing written when refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from arpc_codec.cli.main import main
from arpc_codec.errors import ModelError
from arpc_codec.prior.attention import Text
from arpc_codec.prior.transformer import VAR
from arpc_codec.scales import scale_schedule
from arpc_codec.zoo.bundle import Bundle, load_bundle
from arpc_codec.zoo.infinity import transformer_state
from arpc_codec.zoo.infinity_tokenizer import tokenizer_state
from arpc_codec.zoo.registry import find

Checkpoint = dict[str, Tensor]
Published = Callable[..., tuple[Checkpoint, Checkpoint]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ARPC_HOME."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("ARPC_HOME", str(folder))
    return folder


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert "Traceback" not in result.stderr
    return result


def save(content: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def imported(home: Path, tokenizer: Any, transformer: Any, *options: str | Path, suffix: str = ".pth") -> Result:
    """The result of importing two checkpoints as model `m`."""
    files = [
        save(content, home.parent / f"{name}{suffix}")
        for name, content in (("tokenizer", tokenizer), ("transformer", transformer))
    ]
    named = ["--tokenizer", files[0], "--transformer", files[1]]
    return run("models", "import", "infinity", *named, "-o", home / "m", *options)


def refused(home: Path, result: Result, *parts: str, code: int = 5) -> None:
    """One line with these parts, and nothing left behind."""
    assert result.exit_code == code, result.stderr
    assert len(result.stderr.splitlines()) == 1
    for part in parts:
        assert part in result.stderr
    assert not list(home.iterdir())


def pretrained(folder: Path, model_type: str, **fields: Any) -> Path:
    """What an import looks at of a folder that transformers wrote."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": model_type} | fields))
    (folder / "model.safetensors").touch()
    return folder


def unwrapped(tokenizer: Checkpoint) -> Checkpoint:
    """The same without the wrapper level in the keys."""
    shorter = {}
    for key, tensor in tokenizer.items():
        layer, _, part = key.rpartition(".")
        shorter[f"{layer.rpartition('.')[0]}.{part}" if layer.endswith((".conv", ".norm")) else key] = tensor
    return shorter


def logits(bundle: Bundle) -> Tensor:
    """Of the bits of a made-up picture without a caption, after a look at every network."""
    assert isinstance(bundle.prior, VAR)
    tokenizer, prior = bundle.tokenizer, bundle.prior
    schedule = scale_schedule(3, 4)
    with torch.inference_mode():
        h = tokenizer.encoder(torch.linspace(-1, 1, 3 * 48 * 64).reshape(1, 3, 48, 64))
        assert h.shape == (1, prior.config.d, 3, 4)
        prefixes = tokenizer.quantizer(h, schedule).prefixes
        assert tokenizer.decoder(prefixes[-1], tokenizer.state(0, False)).shape == (1, 3, 48, 64)
        inputs = [
            tokenizer.quantizer.resample(z, size).flatten(2).transpose(1, 2)
            for z, size in zip(prefixes[:-1], schedule[1:], strict=True)
        ]
        text = Text(prior.text.uncond[None])
        found = torch.cat(prior(inputs, schedule, text, (56, 75)), 1)
        state = prior.start(schedule, text, (56, 75))
        stepped = torch.cat([prior.step(x, state)[0] for x in (None, *inputs)], 1)
    assert torch.allclose(stepped * prior.config.temperature, found, atol=1e-4)
    assert torch.isfinite(found).all()
    return found


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"d": 32, "base": 32, "multipliers": (1, 2, 1, 1, 3), "res_blocks": 2, "chunks": 1, "heads": 2},
        {"d": 20, "multipliers": (2, 1, 1, 1, 1, 4), "width": 96, "depth": 6, "chunks": 3, "heads": 6, "hidden": 512},
        {"d": 8, "base": 48, "width": 128, "depth": 1, "chunks": 1, "text": 256, "text_maxlen": 3, "levels": 20},
        {"d": 64, "base": 72, "multipliers": (1, 1, 1, 1, 1), "text": 64, "hidden": 768, "heads": 1},
    ],
)
def test_every_size_is_recovered(published: Published, home: Path, sizes: dict[str, Any]) -> None:
    tokenizer, transformer = published(**sizes)
    result = imported(home, {"vae": tokenizer}, transformer, "--id", "777", "--name", "mine")
    assert result.exit_code == 0, result.stderr
    bundle = load_bundle("mine", check=True)
    pixels, tokens = bundle.tokenizer.config, bundle.prior.config
    asked = {"d": 16, "base": 24, "multipliers": (1, 1, 1, 2, 2), "res_blocks": 1, "width": 64, "depth": 2, "heads": 4}
    asked |= {"text": 128, "text_maxlen": 8, "hidden": 256, "levels": 15} | sizes
    levels = len(asked["multipliers"])
    assert pixels.channels == tokens.d == asked["d"]
    assert pixels.encoder_stem == asked["base"]
    assert pixels.encoder_widths == pixels.decoder_widths == tuple(asked["base"] * m for m in asked["multipliers"])
    assert pixels.encoder_depths == (asked["res_blocks"],) * levels
    assert pixels.decoder_depths == (asked["res_blocks"] + 1,) * levels
    assert (tokens.embed_dim, tokens.depth, tokens.num_heads) == (asked["width"], asked["depth"], asked["heads"])
    assert (tokens.text_channels, tokens.text_maxlen) == (asked["text"], asked["text_maxlen"])
    assert (tokens.mlp_hidden, tokens.max_levels) == (asked["hidden"], asked["levels"])
    for key in ("encoder.conv_out.conv.weight", "decoder.up.0.block.0.conv1.conv.weight"):
        assert any(torch.equal(tokenizer[key], ours) for ours in bundle.tokenizer.state_dict().values()), key
    assert logits(bundle).shape[-1] == 2 * asked["d"]


def test_the_released_sizes_fit(full_size: tuple[Checkpoint, Checkpoint]) -> None:
    tokenizer, transformer = full_size
    pixels, images = tokenizer_state(tokenizer)
    tokens, weights = transformer_state(transformer)
    # KEYS.md counts the two masks, too.
    assert (len(tokenizer) + 2, len(transformer)) == (270, 694)
    assert sum(tensor.numel() for key, tensor in images.items() if key != "quantizer.gain_knots") == 110_118_051
    assert sum(tensor.numel() for tensor in weights.values()) == 2_204_564_032
    assert (pixels.channels, pixels.encoder_widths) == (32, (128, 256, 512, 512, 512))
    assert (tokens.embed_dim, tokens.depth, tokens.num_heads, tokens.mlp_hidden) == (2048, 32, 16, 8192)


def test_every_layout_gives_the_same_model(published: Published, home: Path) -> None:
    tokenizer, transformer = published()
    flat = {}
    for key, tensor in transformer.items():
        if key.startswith("block_chunks."):
            _, chunk, _, index, rest = key.split(".", 4)
            key = f"blocks.{int(chunk) + int(index)}.{rest}"
        flat[key] = tensor.transpose(1, 2).contiguous() if key.endswith("scale_mul_1H11") else tensor
    old = flat | {"lvl_1L": torch.zeros(1, 5), "attn_bias_for_masking": torch.zeros(1)}
    training = {"epoch": 3, "arch": "x", "trainer": {"config": {"a": 1}, "gpt_fsdp": transformer, "gpt_fsdp_opt": {}}}
    maskless = {key: tensor for key, tensor in tokenizer.items() if not key.endswith(".mask")}
    strided = {key: tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor for key, tensor in tokenizer.items()}
    layouts: list[tuple[Any, Any, str]] = [
        ({"vae": tokenizer, "ema": {}}, transformer, ".pth"),
        (tokenizer, {"trainer": {"gpt_wo_ddp": flat}}, ".pth"),
        (unwrapped(tokenizer), old, ".safetensors"),
        ({"vae": maskless}, training, ".pth"),
        (strided, transformer, ".pth"),
    ]
    tied = transformer["block_chunks.0.module.0.sa.q_bias"]
    transformer["block_chunks.1.module.0.sa.q_bias"] = flat["blocks.1.sa.q_bias"] = tied
    old["blocks.1.sa.q_bias"] = tied.clone()
    marks = set()
    for vae, gpt, suffix in layouts:
        result = imported(home, vae, gpt, suffix=suffix)
        assert result.exit_code == 0, result.stderr
        marks.add(result.stdout)
        assert run("models", "remove", "m").exit_code == 0
    assert len(marks) == 1


def test_presets_say_what_no_file_holds(published: Published, home: Path) -> None:
    found = {}
    for preset in ("infinity", "arpc"):
        assert imported(home, *published(), "--preset", preset).exit_code == 0
        bundle = load_bundle("m")
        found[preset] = logits(bundle)
        masked = bundle.tokenizer.quantizer.active(13)
        assert masked == ((16,) * 13 if preset == "infinity" else (8,) * 4 + (12,) * 5 + (16,) * 4)
        assert bundle.prior.config.rope_grid == "published"
        assert bundle.prior.config.temperature == (1.0 if preset == "infinity" else 0.5)
        assert run("models", "remove", "m").exit_code == 0
    assert not torch.equal(found["infinity"], found["arpc"])


def test_matrices_in_bfloat16_are_widened_in_use(published: Published, home: Path) -> None:
    tokenizer, transformer = published()
    assert imported(home, tokenizer, transformer, "--bf16").exit_code == 0
    narrow = load_bundle("m", check=True)
    matrix = narrow.prior.state_dict()["blocks.0.ffn.0.weight"]
    assert matrix.dtype == torch.bfloat16
    assert torch.equal(matrix, transformer["block_chunks.0.module.0.ffn.fc1.weight"].bfloat16())
    assert narrow.prior.state_dict()["blocks.0.ffn.0.bias"].dtype == torch.float32
    found = logits(narrow)
    assert found.dtype == torch.float32
    narrow.prior.float()
    # The same numbers in a wider type: nothing but the weights is rounded.
    assert torch.equal(found, logits(narrow))


def test_an_imported_model_is_like_any_other(published: Published, home: Path, tmp_path: Path) -> None:
    text, blip = pretrained(tmp_path / "t5", "t5", d_model=128), pretrained(tmp_path / "blip", "blip")
    result = imported(home, *published(), "--text", text, "--captioner", blip)
    assert result.exit_code == 0, result.stderr
    number, name, mark = result.stdout.split()
    entry = json.loads(run("models", "list", "--json").stdout.splitlines()[-1])
    assert (entry["id"], entry["name"], entry["fingerprint"]) == (int(number), name, mark)
    assert run("models", "path", number).stdout == f"{home / 'm'}\n"
    assert run("models", "check", "m").stdout == "m: ok\n"
    assert (home / "m" / "text" / "config.json").exists()
    assert (home / "m" / "captioner").samefile(blip)
    assert "tokenizer.pth" in (home / "m" / "LICENCE.txt").read_text("utf-8")
    for options, code, message in (
        (("--name", "n"), 1, "exists already"),
        (("-o", home / "n"), 2, f"{number} is taken"),
        (("-o", home / "n", "--id", find("tiny").id), 2, f"{find('tiny').id} is taken"),
        (("-o", home / "n", "--name", "m"), 2, "m is taken"),
    ):
        again = imported(home, *published(), *options)
        assert (again.exit_code, message in again.stderr) == (code, True)
        assert [folder.name for folder in home.iterdir()] == ["m"]
    weights = home / "m" / "transformer.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert run("models", "check", "m").exit_code == 5
    assert run("models", "remove", "m").exit_code == 0
    assert not list(home.iterdir())
    assert (text / "config.json").exists()


@pytest.mark.parametrize("sizes", [{}, {"d": 20, "text_maxlen": 3, "levels": 20, "chunks": 1}])
def test_an_imported_model_codes(published: Published, home: Path, tmp_path: Path, sizes: dict[str, Any]) -> None:
    assert imported(home, *published(**sizes), "--preset", "arpc").exit_code == 0
    Image.new("RGB", (40, 32), (200, 50, 0)).save(tmp_path / "x.png")
    file = tmp_path / "x.arpc"
    result = run("encode", tmp_path / "x.png", "-m", "m", "-o", file, "--verify", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert run("decode", file, "-o", tmp_path / "y.png", "--device", "cpu").exit_code == 0
    with Image.open(tmp_path / "y.png") as shown:
        assert shown.size == (40, 32)


def test_only_own_models_are_removed(home: Path) -> None:
    for name, code in (("tiny", 2), (str(find("tiny").id), 2), ("nothing", 5)):
        result = run("models", "remove", name)
        assert result.exit_code == code
        assert len(result.stderr.splitlines()) == 1
    linked = home.parent / "elsewhere"
    linked.mkdir()
    config = {"id": 900, "name": "linked", "fingerprint": "ab" * 32, "licence": "none"}
    (linked / "config.json").write_text(json.dumps(config))
    (home / "linked").symlink_to(linked)
    assert run("models", "remove", "900").exit_code == 0
    assert (linked / "config.json").exists()


@pytest.mark.parametrize("part", ["tokenizer", "transformer"])
def test_what_does_not_fit_is_named(published: Published, home: Path, part: str) -> None:
    pair = dict(zip(("tokenizer", "transformer"), published(), strict=True))
    bias, extra, weight = {
        "tokenizer": ("decoder.up.1.block.1.norm2.norm.bias", "decoder.attn", "encoder.mid.block_2.conv1.conv.weight"),
        "transformer": ("block_chunks.1.module.0.ffn.fc2.bias", "surprise", "head.bias"),
    }[part]
    checkpoint = pair[part]
    del checkpoint[bias]
    checkpoint[extra] = torch.zeros(1)
    checkpoint[weight] = torch.zeros(7)
    problems = f"missing: {bias}", f"surplus: {extra}", f"misshapen: {weight} (7,) instead of"
    refused(home, imported(home, *pair.values()), f"{part} checkpoint", *problems)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        (1, "block_chunks.0.module.0.sa.zero_k_bias", torch.ones(64), "zero_k_bias is not zero"),
        (1, "block_chunks.3.module.0.sa.q_bias", torch.ones(64), "equal chunks"),
        (1, "cfg_uncond", torch.ones(5), "misshapen: cfg_uncond (5,)"),
        (1, "cfg_uncond", None, "missing: cfg_uncond"),
        (1, "head.weight", torch.ones(32, 64, dtype=torch.int64), "misshapen: head.weight of torch.int64"),
        (1, "block_chunks.0.module.0.sa.scale_mul_1H11", torch.ones(1, 5, 1, 1), "embed_dim 64"),
        (0, "quantizer.lfq.mask", torch.arange(16), "not that of 16 bits"),
        (0, "encoder.conv_in.conv.weight", torch.ones(()), "misshapen: encoder.conv_in.conv.weight ()"),
        (0, "encoder.conv_in.conv.weight", torch.ones(25, 3, 3, 3), "25 channels cannot be normalised"),
        (0, "encoder.down.7.block.0.conv1.conv.weight", torch.ones(24, 24, 3, 3), "not numbered from 0"),
        (0, "encoder.down.3.downsample.conv.conv.bias", None, "missing: encoder.down.3.downsample.conv.conv.bias"),
        (0, "decoder.conv_out.conv.bias", 3, "not weights: decoder.conv_out.conv.bias"),
    ],
)
def test_damaged_checkpoints(
    published: Published, home: Path, part: int, key: str, value: Tensor | None, message: str
) -> None:
    pair = published()
    if value is None:
        del pair[part][key]
    else:
        pair[part][key] = value
    refused(home, imported(home, *pair), message)


def test_files_that_do_not_belong_together(published: Published, home: Path, tmp_path: Path) -> None:
    tokenizer, transformer = published()
    refused(home, imported(home, published(d=32)[0], transformer), "32 bits a token, the transformer 16")
    refused(home, imported(home, transformer, tokenizer), "tokenizer checkpoint: missing")
    refused(home, imported(home, {"vae": {}, "other": tokenizer}, transformer), "tokenizer")
    blip, narrow = pretrained(tmp_path / "blip", "blip", d_model=128), pretrained(tmp_path / "t5", "t5", d_model=64)
    for folder, problem in (
        (tmp_path, "not the folder of a network"),
        (blip, "of type blip, not t5"),
        (narrow, "64 features a token, the transformer takes 128"),
        (pretrained(tmp_path / "unsaid", "t5"), "None features a token"),
    ):
        refused(home, imported(home, tokenizer, transformer, "--text", folder), problem)
    (narrow / "config.json").write_text(json.dumps({"model_type": "t5", "d_model": 128}))
    (narrow / "model.safetensors").rename(narrow / "pytorch_model.bin")
    refused(home, imported(home, tokenizer, transformer, "--text", narrow), "pickled weights")
    refused(home, imported(home, tokenizer, transformer, "--captioner", tmp_path), "not the folder of a network")
    for name in ("tiny", "5", "a/b", ""):
        refused(home, imported(home, tokenizer, transformer, "--name", name), code=2)


class Code:
    """Runs a command when it is unpickled without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_never_run(
    published: Published, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    tokenizer, transformer = published()
    path = tmp_path / "code.pth"
    torch.save({"vae": tokenizer, "more": Code()}, path, _use_new_zipfile_serialization=zipped)
    other = save(transformer, tmp_path / "transformer.pth")
    result = run("models", "import", "infinity", "--tokenizer", path, "--transformer", other, "-o", home / "m")
    refused(home, result, "code or objects")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_truncated_files(published: Published, home: Path, tmp_path: Path, suffix: str, kept: float) -> None:
    tokenizer, transformer = published()
    paths = [save(tokenizer, tmp_path / f"a{suffix}"), save(transformer, tmp_path / f"b{suffix}")]
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[: int(kept * len(data))])
    words = ["--tokenizer", paths[0], "--transformer", paths[1]]
    refused(home, run("models", "import", "infinity", *words, "-o", home / "m"), "damaged")


def test_a_folder_needs_a_prior(published: Published, home: Path) -> None:
    assert imported(home, *published()).exit_code == 0
    path = home / "m" / "config.json"
    values = json.loads(path.read_text("utf-8"))
    del values["transformer"]
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match="model 'm'"):
        load_bundle("m")
