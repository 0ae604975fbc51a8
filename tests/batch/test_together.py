"""Files that a process takes several of at a time, as it does for a GPU."""

from __future__ import annotations

import io
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.batch import Decoding, Encoding, Job, Made
from arpc_codec.batch.engine import attempt, next_jobs
from arpc_codec.batch.task import Failure
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import truncate


def png(height: int, width: int, seed: int, mode: str = "RGB") -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tasks take three files at a time, without a GPU; sizes of the batches that the codec gets."""
    for task in (Encoding, Decoding):
        monkeypatch.setattr(task, "together", 3)
    sizes: list[int] = []
    for name in ("encode_batch", "decode_batch"):
        whole = getattr(ProgicCodec, name)

        def counted(self: ProgicCodec, items: list, *, _whole=whole, **options: object) -> list:
            sizes.append(len(items))
            return _whole(self, items, **options)

        monkeypatch.setattr(ProgicCodec, name, counted)
    return sizes


@pytest.mark.parametrize(
    ("options", "together"),
    [
        ({"codec": "progic", "device": "cuda"}, 8),
        ({"codec": "progic", "device": "cuda", "caption": "auto"}, 1),
        ({"codec": "progic", "device": "cpu"}, 1),
        ({"codec": "arpc", "device": "cuda"}, 1),
    ],
)
def test_only_progic_on_a_gpu_takes_several(options: dict[str, str], together: int) -> None:
    assert Encoding(model="any", **options).together == together
    assert Decoding(device=options["device"]).together == (8 if options["device"] == "cuda" else 1)


def test_encoding_in_groups_gives_the_same_files(batches: list[int]) -> None:
    files = [png(48, 64, 1), b"no picture", png(48, 64, 2), png(64, 48, 3), png(48, 64, 4, "L"), png(48, 64, 5)]
    task = Encoding(codec="progic", model="progic", scales=3, device="cpu")
    together = task.several(files)
    assert sorted(batches) == [1, 1, 3]
    batches.clear()
    for data, found in zip(files, together, strict=True):
        if data == b"no picture":
            assert found == Failure(1, "not a picture in a format that can be read")
        else:
            assert found == task(data)


def test_decoding_in_groups_gives_the_same_pictures(batches: list[int]) -> None:
    encode = Encoding(codec="progic", model="progic", device="cpu")
    whole = [encode(png(48, 64, seed)).data for seed in range(3)]
    arpc = Encoding(codec="arpc", model="tiny", device="cpu")(png(48, 64, 9)).data
    files = [whole[0], arpc, truncate(whole[1], scales=2), arpc, whole[2][:-3], b"nothing"]
    task = Decoding(device="cpu", format="ppm")
    batches.clear()
    together = task.several(files)
    assert batches == [3]
    for data, found in zip(files[:-1], together, strict=False):
        assert isinstance(found, Made)
        alone = task(data)
        assert replace(found, data=b"") == replace(alone, data=b"")
        # The same convolutions may round in another way for several pictures.
        pixels = [np.asarray(Image.open(io.BytesIO(made.data))).astype(int) for made in (found, alone)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1
    assert isinstance(together[-1], Failure)


def test_a_group_that_fails_is_done_one_by_one(batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    encode = ProgicCodec.encode_batch

    def memory_is_short(self: ProgicCodec, items: list, **options: object) -> list:
        if len(items) > 1:
            raise MemoryError
        return encode(self, items, **options)

    monkeypatch.setattr(ProgicCodec, "encode_batch", memory_is_short)
    files = [png(48, 64, seed) for seed in range(3)]
    task = Encoding(codec="progic", model="progic", scales=1, device="cpu")
    assert task.several(files) == [task(data) for data in files]
    assert set(batches) == {1}


def test_a_missing_file_costs_itself_only(batches: list[int], tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths[::2]:
        path.write_bytes(png(48, 64, 1))
    found = [made for made, _ in attempt(Encoding(codec="progic", model="progic", scales=1, device="cpu"), paths)]
    assert [isinstance(made, Failure) for made in found] == [False, True, False]
    assert batches == [2]


def test_what_is_tried_again_is_tried_alone() -> None:
    jobs = [Job(Path(f"{n}"), f"{n}", f"{n}.out") for n in range(6)]
    waiting = deque(jobs)
    again = {jobs[4], jobs[5]}
    taken = [next_jobs(waiting, again, 3) for _ in range(4)]
    assert taken == [jobs[:3], jobs[3:4], jobs[4:5], jobs[5:]]
    assert not waiting
