"""The sheet of equal bytes on small pictures and a model of random weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from arpc_codec.bench import equal
from arpc_codec.bench.peers import Jpeg


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
