"""The rate table on a small picture and a model of random weights."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from arpc_codec.bench.rate import main


def test_sums_are_those_of_the_file(
    tmp_path: Path, micro_home: Path, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    import arpc_codec

    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    image = Image.fromarray(picture(96, 128, 3))
    image.save(tmp_path / "a.png")
    result = CliRunner().invoke(main, [str(tmp_path), "--model", "micro", "--json", str(tmp_path / "sums.json")])
    assert result.exit_code == 0, result.output
    ((total, rows),) = json.loads((tmp_path / "sums.json").read_text()).items()
    info = arpc_codec.info(arpc_codec.encode(image, model="micro"))
    assert int(total) == info.scales_declared == len(rows)
    assert sum(row[1] for row in rows) == 8 * info.payload_bytes
    for raw, sealed, ideal, trunk_sealed, trunk_ideal, published in rows:
        assert 0 < ideal < sealed + 8
        # A check byte and what sealing to whole bytes takes.
        assert trunk_ideal - 1 < trunk_sealed < trunk_ideal + 8 + 16
        assert 0 < published <= 1.5 * raw
    assert "coded as published" in result.output
