"""The rate table on a small picture and models of random weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from arpc_codec.codecs.arpc import ArpcCodec
from dev.bench.rate import coded_scales, main, rate_per_scale

Picture = Callable[..., np.ndarray]


@pytest.mark.parametrize("fixture", ["micro", "micro_planes"])
def test_sums_are_those_of_the_file(
    fixture: str,
    tmp_path: Path,
    micro_home: Path,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    import arpc_codec

    model = request.getfixturevalue(fixture).bundle.entry.name
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    image = Image.fromarray(picture(96, 128, 3))
    image.save(tmp_path / "a.png")
    result = CliRunner().invoke(main, [str(tmp_path), "--model", model, "--json", str(tmp_path / "sums.json")])
    assert result.exit_code == 0, result.output
    ((total, rows),) = json.loads((tmp_path / "sums.json").read_text("utf-8")).items()
    info = arpc_codec.info(arpc_codec.encode(image, model=model))
    assert int(total) == info.scales_declared == len(rows)
    assert sum(row[0] for row in rows) == 8 * info.payload_bytes
    for sealed, ideal, usual in rows:
        # A check byte and what sealing to whole bytes takes, or leaves out where the rest follows by itself.
        assert ideal - 8 < sealed < ideal + 8 + 16
        assert usual > 0
    assert "up to here" in result.output
    assert f"| {total} |" in result.output


def test_static_bits_of_signs_are_whole(micro: ArpcCodec, picture: Picture) -> None:
    """Nothing is usual of a sign, so each costs one."""
    pixels = picture(96, 128, 3)
    coded = coded_scales(micro, pixels)
    usual = rate_per_scale(micro, pixels, coded)[:, 2]
    assert usual.tolist() == [len(scale.bits) for scale in coded]


def test_static_bits_of_integers_are_those_of_portable_files(
    micro_planes: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = micro_planes.tokenizer
    monkeypatch.setattr(tokenizer, "config", replace(tokenizer.config, trade=0.0))
    pixels = picture(96, 128, 3)
    usual = rate_per_scale(micro_planes, pixels, coded_scales(micro_planes, pixels))[:, 2]
    size = 8 * len(micro_planes.encode(pixels, portable=True).data)
    assert usual.sum() - len(usual) < size < usual.sum() + len(usual) * 32 + 200
