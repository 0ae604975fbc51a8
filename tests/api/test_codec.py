"""A model loaded once, and files that arrive piece by piece."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import arpc_codec
from arpc_codec import Codec, Decoder, api
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import truncate
from arpc_codec.errors import (
    ArpcError,
    FormatError,
    ModelError,
    NoteWarning,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from arpc_codec.packets import join, sort_out, split
from arpc_codec.warned import warn
from arpc_codec.zoo.bundle import load_folder
from arpc_codec.zoo.progic import load_progic
from arpc_codec.zoo.registry import find

Picture = Callable[..., np.ndarray]
LOSSY = ["micro", "micro-planes", "micro-progic", "micro-coded"]


@pytest.fixture(autouse=True)
def home(request: pytest.FixtureRequest, micro_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fixture in ("micro_planes", "micro_progic", "micro_coded", "micro_lossless"):
        request.getfixturevalue(fixture)
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("model", LOSSY)
def test_a_codec_does_what_the_functions_do(model: str, picture: Picture) -> None:
    codec, image = Codec.load(model), Image.fromarray(picture(48, 80))
    data = codec.encode(image, scales=2, caption="a word")
    assert data == arpc_codec.encode(image, codec=codec.codec, model=model, scales=2, caption="a word")
    assert same(codec.decode(data), arpc_codec.decode(data))
    assert (codec.model, codec.device) == (model, "cpu")


@pytest.mark.parametrize("model", ["micro", "micro-progic", "micro-lossless"])
def test_of_two_models_with_one_name_the_file_says_which(
    model: str, micro_home: Path, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {model: "first", f"{model} again": "second"}
    for number, folder in enumerate(names.values(), 500):
        shutil.copytree(find(model).path, tmp_path / folder)
        values = json.loads((tmp_path / folder / "config.json").read_text("utf-8"))
        (tmp_path / folder / "config.json").write_text(json.dumps(values | {"id": number}))
    monkeypatch.setenv("ARPC_HOME", str(tmp_path))
    data = arpc_codec.encode(picture(32, 32), model="501", codec=find(model).codec)
    assert arpc_codec.info(data).model_id == 501
    assert arpc_codec.decode(data).size == (32, 32)


@pytest.mark.parametrize("model", ["micro", "micro-progic", "micro-lossless"])
def test_a_caption_that_is_too_long_is_refused_before_the_work(
    model: str, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, function in (("arpc", "analyse"), ("progic", "analyse"), ("hpac", "encode")):
        monkeypatch.setattr(f"arpc_codec.codecs.{module}.{function}", lambda *args, **options: pytest.fail("worked"))
    with pytest.raises(UsageError, match="caption of 1025 bytes"):
        Codec.load(model).encode(picture(16, 16), caption="x" * 1025)


def test_lossless(picture: Picture) -> None:
    codec, samples = Codec.load("micro-lossless"), picture(20, 30)
    assert codec.codec == "hpac"
    assert np.array_equal(np.asarray(codec.decode(codec.encode(samples))), samples)
    with pytest.raises(UsageError, match="no rate"):
        codec.encode(samples, scales=1)


def test_a_batch_is_its_pictures_in_order(picture: Picture) -> None:
    arrays = [picture(*size, seed) for seed, size in enumerate([(32, 48)] * 10 + [(48, 32), (32, 48)])]
    pictures = [*arrays, Image.fromarray(arrays[0])]
    for model, options in (("micro-progic", {"stages": 2}), ("micro-progic", {"target_bpp": 1.0}), ("micro", {})):
        codec = Codec.load(model)
        found = codec.encode_batch(pictures, **options)
        assert [arpc_codec.info(data).width for data in found] == [image.shape[1] for image in [*arrays, arrays[0]]]
        alone = [codec.encode(image, **options) for image in pictures]
        # The network may round differently for several pictures, which can turn the choice of an entry.
        assert sum(one == other for one, other in zip(found, alone, strict=True)) >= len(alone) - 1
    assert Codec.load("micro").encode_batch([]) == []


def test_a_batch_is_verified(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, arrays = Codec.load("micro-progic"), [picture(32, 32, seed) for seed in range(2)]
    assert codec.encode_batch(arrays, verify=True) == codec.encode_batch(arrays)
    plain = ProgicCodec.indices
    monkeypatch.setattr(ProgicCodec, "indices", lambda self, container: (plain(self, container)[0] + 1, ()))
    with pytest.raises(ArpcError, match="does not decode"):
        codec.encode_batch(arrays, verify=True)


def test_notes_name_the_line_of_the_caller(picture: Picture, tmp_path: Path) -> None:
    """However many frames of this package and of Pillow lie between."""
    codec, pixels = Codec.load("micro-progic"), picture(48, 32)
    ways = [
        lambda: arpc_codec.encode(pixels, codec="progic", model="micro-progic", stages=9),
        lambda: codec.encode(pixels, stages=9),
        lambda: codec.encode_batch([pixels], stages=9),
        lambda: Image.fromarray(pixels).save(tmp_path / "a.arpc", codec="progic", model="micro-progic", stages=9),
    ]
    for way in ways:
        with pytest.warns(NoteWarning, match="9 were asked for") as caught:
            way()
        assert [warning.filename for warning in caught] == [__file__]


def test_a_damaged_alpha_plane_is_damage(picture: Picture) -> None:
    """As `decode` says, and not an opaque picture."""
    rgba = np.dstack([picture(32, 48), picture(32, 48)[..., 0]])
    data = bytearray(arpc_codec.encode(Image.fromarray(rgba), model="micro-planes"))
    data[-3] ^= 255
    with pytest.raises(FormatError) as caught:
        arpc_codec.decode(bytes(data))
    with pytest.raises(FormatError, match=re.escape(str(caught.value))):
        arpc_codec.Decoder().feed(bytes(data))


def test_any_number_of_bits_is_a_limit(picture: Picture) -> None:
    codec, pixels = Codec.load("micro-planes"), picture(32, 32)
    assert codec.encode(pixels, target_bpp=1e308) == codec.encode(pixels)


def test_errors(picture: Picture) -> None:
    data = Codec.load("micro").encode(picture(32, 32))
    with pytest.raises(ModelError, match="needs model 100, not 'micro-progic'"):
        Codec.load("micro-progic").decode(data)
    with pytest.raises(ModelError, match="belongs to codec progic"):
        Codec.load("micro-progic", codec="arpc")
    with pytest.raises(UsageError, match="jpeg"):
        Codec.load(codec="jpeg")
    with pytest.raises(ModelError, match="nothing"):
        Codec.load("nothing")
    with pytest.raises(UsageError, match="portable"):
        Codec.load("micro-progic").encode_batch([picture(32, 32)] * 2, portable=True)
    for wrong in (np.zeros(5, np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)):
        with pytest.raises(UsageError, match="uint8"):
            Codec.load("micro-progic").encode_batch([wrong])
    with pytest.raises(TypeError):
        Codec.load("micro").encode(picture(32, 32), quality=3)  # type: ignore[call-arg]


def test_threads_lose_no_note(picture: Picture) -> None:
    """Filters of warnings are of the whole process: none is silent because another reads, or verifies."""
    codec, one_bit = Codec.load("micro-progic"), Image.fromarray(picture(48, 32)).convert("1")
    file = io.BytesIO()
    one_bit.save(file, "PNG")

    def raised(verify: bool) -> bool:
        try:
            codec.encode(file.getvalue(), verify=verify)
        except NoteWarning:
            return True
        return False

    with warnings.catch_warnings():
        warnings.simplefilter("error", NoteWarning)
        before = list(warnings.filters)
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(raised, [False, True] * 12))
        assert list(warnings.filters) == before


@pytest.mark.parametrize("model", ["micro", "micro-progic", "micro-lossless"])
def test_pictures_above_the_limit_are_refused(model: str, picture: Picture) -> None:
    codec, samples = Codec.load(model), picture(24, 40)
    for image in (samples, Image.fromarray(samples)):
        with pytest.raises(ArpcError, match="exceed the limit of 959"):
            codec.encode(image, max_pixels=959)
    data = codec.encode(samples, max_pixels=960)
    assert codec.decode(data, max_pixels=960).size == (40, 24)
    for decode in (codec.decode, arpc_codec.decode, arpc_codec.decode_array):
        with pytest.raises(UnsupportedError, match="exceed the limit of 959"):
            decode(data, max_pixels=959)
    with pytest.raises(UnsupportedError):
        Decoder(max_pixels=959).feed(data)
    with pytest.raises(UnsupportedError, match="exceed the limit of 959"):
        arpc_codec.info(data, max_pixels=959)
    # Ours to change.
    arpc_codec.decode_array(data)[0, 0] = 0


def test_threads_share_a_codec(picture: Picture) -> None:
    images = [picture(48, 64, seed) for seed in range(6)]
    for model in ("micro", "micro-planes", "micro-coded"):
        codec = Codec.load(model)
        alone = [codec.encode(image) for image in images]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(codec.encode, images)) == alone
            pictures = list(pool.map(codec.decode, alone))
        assert all(same(one, codec.decode(data)) for one, data in zip(pictures, alone, strict=True))


@pytest.mark.parametrize("model", LOSSY)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_every_scale_that_arrives_gives_a_picture(model: str, step: int, picture: Picture) -> None:
    codec = Codec.load(model)
    data = codec.encode(picture(48, 80))
    decoder, shown = codec.decoder(), []
    for first in range(0, len(data), step):
        better = decoder.feed(data[first : first + step])
        if better is not None:
            shown.append((decoder.scales, better))
    decoder.close()
    assert decoder.info is not None
    assert decoder.info.scales_declared == decoder.scales == shown[-1][0]
    if step == 1:
        assert [scales for scales, _ in shown] == list(range(1, decoder.scales + 1))
    for scales, better in shown:
        assert same(better, arpc_codec.decode(truncate(data, scales=scales)))


def test_large_pictures_arrive_in_tiles(picture: Picture) -> None:
    data = Codec.load("micro").encode(picture(16, 16 * 60), scales=2)
    decoder = Decoder()
    shown = [better for byte in data if (better := decoder.feed(bytes([byte]))) is not None]
    assert len(shown) == 2
    assert same(shown[-1], arpc_codec.decode(data))


def test_alpha_and_metadata_come_last(picture: Picture) -> None:
    rgba = np.dstack([picture(32, 32), np.arange(1024, dtype=np.uint8).reshape(32, 32)])
    data = arpc_codec.encode(Image.fromarray(rgba), model="micro")
    decoder = Decoder(fill="none")
    modes = [better.mode for byte in data if (better := decoder.feed(bytes([byte]))) is not None]
    assert set(modes[:-1]) == {"RGB"}
    assert modes[-1] == "RGBA"


def test_a_lossless_file_is_shown_when_it_is_whole(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = picture(20, 30)
    data = Codec.load("micro-lossless").encode(samples)
    decoder, parsed = Decoder(), []
    plain = api.read
    monkeypatch.setattr(api, "read", lambda *args, **limits: parsed.append(1) or plain(*args, **limits))
    assert [decoder.feed(bytes([byte])) for byte in data[:-1]] == [None] * (len(data) - 1)
    last = decoder.feed(data[-1:])
    # Not with every byte: the header, a length, the segment and the check.
    assert len(parsed) < 40 < len(data)
    assert last is not None
    assert np.array_equal(np.asarray(last), samples)


def test_what_does_not_arrive_and_what_should_not(picture: Picture) -> None:
    data = Codec.load("micro").encode(picture(96, 96))
    decoder = Decoder()
    assert decoder.info is None
    decoder.feed(data[:-3])
    with pytest.raises(TruncatedError, match="ends early"):
        decoder.close()
    with pytest.raises(UsageError, match="has ended"):
        decoder.feed(data[-3:])
    whole = Decoder()
    whole.feed(data)
    whole.close()
    with pytest.raises(UsageError, match="has ended"):
        whole.feed(b"more")
    for spoilt in (b"no arpc file at all", data + b"x"):
        with pytest.raises(FormatError):
            Decoder().feed(spoilt)
    changed = bytearray(data)
    changed[-2] ^= 0x55
    damaged = Decoder()
    with pytest.raises(FormatError, match="damaged"):
        damaged.feed(bytes(changed))
    with pytest.raises(UsageError, match="has ended"):
        damaged.feed(b"")


@pytest.mark.parametrize("keep", [None, 3, ["iptc"], [3]])
def test_what_cannot_be_kept_is_refused(keep: object, picture: Picture) -> None:
    with pytest.raises(UsageError, match="keep"):
        arpc_codec.encode(picture(16, 16), keep=keep, model="micro")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="keep"):
        Image.fromarray(picture(16, 16)).save(io.BytesIO(), "ARPC", keep=keep, model="micro")


def test_names_to_keep_are_read_once(picture: Picture) -> None:
    file = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(file, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    few = arpc_codec.encode(file.getvalue(), keep=["exif"], model="micro")
    assert arpc_codec.encode(file.getvalue(), keep=(name for name in ["exif"]), model="micro") == few


@pytest.mark.parametrize("limit", [None, "5"])
def test_a_limit_of_pixels_is_a_number(limit: object, picture: Picture) -> None:
    data = arpc_codec.encode(picture(16, 16), model="micro")
    for call in (
        lambda: arpc_codec.encode(picture(8, 8), max_pixels=limit),
        lambda: arpc_codec.decode(data, max_pixels=limit),
    ):
        with pytest.raises(UsageError, match="max_pixels must be a whole number"):
            call()


def test_a_codec_keeps_to_the_id_it_was_loaded_by(picture: Picture, micro_home: Path) -> None:
    """A model of the same name may be found first by that name."""
    shutil.copytree(find("micro-progic").path, micro_home / "zz-older")
    config = micro_home / "zz-older" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"id": 4444}), "utf-8")
    codec = Codec.load(4444)
    data = codec.encode(picture(32, 48))
    assert arpc_codec.info(data).model_id == codec.id == 4444
    assert same(codec.decode(data), arpc_codec.decode(data))


def test_the_end_of_a_file_with_holes_is_not_its_whole(picture: Picture) -> None:
    packets = split(Codec.load("micro-progic").encode(picture(96, 96)), 40)
    data = join(sort_out(packets[:-1])[0]).data
    decoder = Decoder()
    assert decoder.feed(data) is not None
    with pytest.raises(TruncatedError, match="holes"):
        decoder.close()
    with pytest.raises(TruncatedError, match="holes"):
        arpc_codec.decode(data)


def test_a_neighbour_with_our_name_in_its_own_is_a_caller(tmp_path: Path) -> None:
    beside = f"{Path(arpc_codec.__file__).parent}_app{os.sep}mine.py"
    with pytest.warns(NoteWarning) as caught:
        exec(compile("warn(['a note'])", beside, "exec"), {"warn": warn})
    assert [warning.filename for warning in caught] == [beside]


@pytest.mark.parametrize("load", [load_folder, load_progic])
def test_loading_a_model_leaves_the_random_numbers_alone(load: Callable[[Path], object]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load(find("micro-planes" if load is load_folder else "micro-progic").path)
    assert torch.equal(torch.get_rng_state(), before)
