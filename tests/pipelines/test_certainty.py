"""How much of a picture was sent, and how much the prior had to guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import arpc_codec
from arpc_codec.cli.main import main
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.certainty import certainty, pooled
from arpc_codec.codecs.tokens import spread
from arpc_codec.container import read, truncate
from arpc_codec.errors import TruncatedError, UsageError
from arpc_codec.tokenizer import MultiScalePlanes
from arpc_codec.tokenizer.multiscale import binary_entropy

Picture = Callable[..., np.ndarray]


@pytest.mark.parametrize("portable", [False, True], ids=["prior", "portable"])
@pytest.mark.parametrize("name", ["micro", "micro_planes"])
def test_more_scales_are_more_certain(
    name: str, portable: bool, picture: Picture, request: pytest.FixtureRequest
) -> None:
    codec: ArpcCodec = request.getfixturevalue(name)
    encoded = codec.encode(picture(75, 90), portable=portable)
    maps = [certainty(codec, read(encoded.data), scales) for scales in range(1, encoded.scales + 1)]
    assert all(found.shape == (75, 90) for found in maps)
    means = [float(found.mean()) for found in maps]
    assert means == sorted(means)
    assert 0 < means[0] < 0.5
    assert (maps[-1] == 1).all()
    # A file that was cut has the map of its scales.
    cut = certainty(codec, read(truncate(encoded.data, scales=2)))
    assert np.array_equal(cut, maps[1])


def test_what_is_received_is_what_the_stream_took(micro_planes: ArpcCodec, picture: Picture) -> None:
    """Within the check byte and what sealing to whole bytes takes."""
    container = read(micro_planes.encode(picture(128, 128)).data)
    total = len(container.segments)
    (_, walk), *more = micro_planes.walks(container, total, count=True)
    assert not more
    assert walk.received is not None
    taken = float(walk.received.sum()) / 8
    assert abs(sum(map(len, container.segments)) - taken) < 2 * total


def test_tokens_are_shared_by_the_cells_below_them() -> None:
    shared = spread(torch.tensor([[6.0, 9.0]]), (2, 5))
    assert torch.allclose(shared, torch.tensor([[1.0, 1, 1, 2.25, 2.25]]).expand(2, 5))
    assert pooled(torch.arange(6.0).view(2, 3)).tolist() == [[2.0, 2.0, 3.5], [2.0, 2.0, 3.5]]


def test_entropy_counts_bits_that_may_not_be_asked() -> None:
    schedule = ((1, 1),)
    quantizer = MultiScalePlanes((1.0, 1.0), (3, 2), (1, 2, 3), (1, 0))
    chances = torch.full((1, 1, 15), 0.25)
    one = float(binary_entropy(torch.tensor(0.25)))
    each = one + 0.25 * (one + one + 0.25 * (one + 0.25 * one))
    assert float(quantizer.entropy(chances, 0, schedule)) == pytest.approx(2 * each)
    # Half a chance is a bit, certainty none.
    assert binary_entropy(torch.tensor([0.5, 0.0, 1.0])).tolist() == pytest.approx([1, 0, 0], abs=1e-6)


@pytest.mark.usefixtures("micro_planes")
def test_function_command_and_sheet(
    picture: Picture, micro_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    data = arpc_codec.encode(picture(64, 80), model="micro-planes", scales=4)
    found = arpc_codec.certainty(data)
    assert (found.mode, found.size) == ("L", (80, 64))
    whole = arpc_codec.encode(picture(64, 80), model="micro-planes")
    assert arpc_codec.certainty(whole).getextrema() == (255, 255)
    with pytest.raises(TruncatedError, match="truncated"):
        arpc_codec.certainty(data[:-1])
    lossless = arpc_codec.encode(picture(16, 16), lossless=True)
    with pytest.raises(UsageError, match="codec arpc"):
        arpc_codec.certainty(lossless)

    source, target, grey = (tmp_path / name for name in ("a.arpc", "a.png", "map.png"))
    source.write_bytes(data)
    words = ["decode", str(source), "-o", str(target), "--certainty", str(grey), "--device", "cpu"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert np.array_equal(np.asarray(Image.open(grey)), np.asarray(found))
    assert target.exists()
    # What is there already stays.
    assert CliRunner().invoke(main, [*words[:3], str(tmp_path / "b.png"), *words[4:]]).exit_code == 1
    assert CliRunner().invoke(main, [*words, str(source)]).exit_code == 2
    # Neither what is decoded nor the picture is replaced by the map.
    for other, code in ((source, 1), (target, 2)):
        kept = other.read_bytes()
        result = CliRunner().invoke(main, [*words[:5], str(other), *words[6:], "-f"])
        assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1)
        assert other.read_bytes() == kept
    sheets = []
    for name, file in (("part", data), ("whole", whole)):
        (tmp_path / f"{name}.arpc").write_bytes(file)
        sheet = tmp_path / f"{name}.png"
        words = ["preview", str(tmp_path / f"{name}.arpc"), "-o", str(sheet), "--columns", "1", "--device", "cpu"]
        assert CliRunner().invoke(main, words).exit_code == 0
        sheets.append(Image.open(sheet).height)
    # One more panel for what was sent where something is missing.
    steps = arpc_codec.info(whole).scales_present
    assert sheets[0] / 5 == pytest.approx(sheets[1] / steps, rel=0.02)
