"""A caption from the command line to the bits and back: T5, float prior and file together."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import arpc_codec
from arpc_codec.cli.main import main
from arpc_codec.container import read
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.transformer import VAR
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.zoo.bundle import save_imported


@pytest.fixture
def home(t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ARPC_HOME with a small model, as imports make them, that takes the features of the tiny T5."""
    widths = (24, 24, 24, 24, 24)
    pixels = TokenizerConfig(
        channels=8,
        encoder_stem=24,
        encoder_widths=widths,
        encoder_depths=(1,) * 5,
        decoder_widths=widths,
        decoder_depths=(2,) * 5,
        learned_gains=False,
        grid_bits=24,
        network="pyramid",
        masked=False,
    )
    tokens = PriorConfig(
        d=8, embed_dim=32, depth=2, num_heads=2, text_channels=32, text_maxlen=64, rope_grid="published"
    )
    torch.manual_seed(3)
    networks = Tokenizer(pixels), VAR(tokens)
    states = []
    for network in networks:
        state = {name: tensor + 0.2 * torch.randn_like(tensor) for name, tensor in network.state_dict().items()}
        states.append(state | {name: tensor for name, tensor in network.state_dict().items() if "gain" in name})
    home = tmp_path / "models"
    save_imported(home / "worded", 900, "worded", "test", (pixels, states[0]), (tokens, states[1]))
    (home / "worded" / "text").symlink_to(t5, target_is_directory=True)
    monkeypatch.setenv("ARPC_HOME", str(home))
    return home


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert "Traceback" not in result.stderr
    return result


def test_a_caption_steers_both_ends(home: Path, tmp_path: Path, picture: Callable[..., np.ndarray]) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(picture(200, 300)).save(photo)
    for name, words in {"worded": ["--caption", "a red boat in the water"], "silent": []}.items():
        result = run("encode", photo, "-m", "worded", "-o", tmp_path / f"{name}.arpc", "--verify", *words)
        assert result.exit_code == 0, result.stderr
        assert run("decode", tmp_path / f"{name}.arpc", "-o", tmp_path / f"{name}.png").exit_code == 0
    worded, silent = ((tmp_path / f"{name}.arpc").read_bytes() for name in ("worded", "silent"))
    assert arpc_codec.info(worded).caption == "a red boat in the water"
    assert read(worded).header.conditioned
    assert not read(silent).header.conditioned
    assert read(worded).segments != read(silent).segments
    # The same tokens, whatever their probabilities were.
    assert (tmp_path / "worded.png").read_bytes() == (tmp_path / "silent.png").read_bytes()


def test_without_its_text_encoder_a_file_says_so(
    home: Path, tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    photo, file = tmp_path / "photo.png", tmp_path / "photo.arpc"
    Image.fromarray(picture(64, 64)).save(photo)
    assert run("encode", photo, "-m", "worded", "-o", file, "--caption", "two dog").exit_code == 0
    (home / "worded" / "text").unlink()
    # In a process of its own: this one has the model loaded, with its encoder.
    words = [sys.executable, "-m", "arpc_codec", "decode", str(file), "-o", str(tmp_path / "out.png")]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 5
    assert len(result.stderr.splitlines()) == 1
    assert "text encoder" in result.stderr
    assert not (tmp_path / "out.png").exists()
