"""The sheet of equal bytes on small pictures and a model of random weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from arpc_codec.bench.peers import Jpeg, WebP
from dev.bench import equal


def test_the_other_codec_is_the_best_that_is_not_smaller(
    tmp_path: Path, micro_home: Path, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    monkeypatch.setattr(equal, "PEERS", {"jpeg": Jpeg})
    folder = tmp_path / "pictures"
    folder.mkdir()
    # One upright, one not.
    Image.fromarray(picture(160, 96, 1)).save(folder / "1.png")
    Image.fromarray(picture(96, 128, 2)).save(folder / "2.png")
    sheet = tmp_path / "sheet.png"
    options = [str(folder), "-o", str(sheet), "--model", "micro", "--k", "3", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(equal.main, options)
    assert result.exit_code == 0, result.output
    # Random weights against JPEG's smallest file: nobody would bet on them.
    assert "better by psnr: 0 of 2" in result.output
    with Image.open(sheet) as opened:
        assert opened.width > 6 * 128
        assert opened.height > 160


def test_a_part_at_several_sizes_beside_each_codec(
    tmp_path: Path, micro_home: Path, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    monkeypatch.setattr(equal, "PEERS", {"jpeg": Jpeg, "webp": WebP})
    photo, sheet = tmp_path / "1.png", tmp_path / "sheet.png"
    Image.fromarray(picture(96, 160, 1)).save(photo)
    options = [str(photo), "-o", str(sheet), "--model", "micro", "--k", "2", "--k", "4", "--each", "--part", "8", "16"]
    result = CliRunner().invoke(equal.main, [*options, "120", "60", "--cache", str(tmp_path / "cache")])
    assert result.exit_code == 0, result.output
    assert "of 2" in result.output
    with Image.open(sheet) as opened:
        # Two rows of photo, ours and both others, none of them higher than the part.
        assert opened.width > 4 * 120
        assert 2 * 60 < opened.height < 2 * 120
        first = np.asarray(opened.convert("RGB"))[8:68, 8:128]
    assert np.array_equal(first, picture(96, 160, 1)[16:76, 8:128])
