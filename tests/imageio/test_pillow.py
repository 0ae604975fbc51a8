"""The Pillow plugin: opening, laziness, modes, metadata, errors, and when it is registered."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

import arpc_codec
from arpc_codec.container.header import MAGIC

VECTORS = Path(__file__).resolve().parents[2] / "formats" / "vectors"
BAD = sorted((VECTORS / "bad").glob("*.arpc"))
Y, X = np.mgrid[:18, :25]
RGB = np.stack([X * 9, Y * 12, X + Y * 9], -1).astype(np.uint8)
ALPHA = (X * 7 + Y).astype(np.uint8)
# For what takes its time with lossless files and depends on no pixel.
SMALL = Image.fromarray(RGB[:5, :7])
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MICRO, LOSSLESS = {"model": "micro", "scales": 2}, {"model": "micro-lossless", "lossless": True}

# mode: (of the lossy file, of the lossless file or why there is none).
MODES = {
    "1": ("L", "L"),
    "L": ("L", "L"),
    "LA": ("LA", "LA"),
    "La": ("LA", "premultiplied alpha"),
    "P": ("RGB", "RGB"),
    "PA": ("RGBA", "RGBA"),
    "RGB": ("RGB", "RGB"),
    "RGBX": ("RGB", "pixels of mode RGBX"),
    "RGBA": ("RGBA", "RGBA"),
    "RGBa": ("RGBA", "premultiplied alpha"),
    "CMYK": ("RGB", "CMYK colours"),
    "YCbCr": ("RGB", "YCbCr colours"),
    "LAB": ("RGB", "Lab colours"),
    "HSV": ("RGB", "HSV colours"),
    "I": ("L", "32-bit integer samples"),
    "F": ("L", "float samples"),
    "I;16": ("L", "I;16"),
    "I;16L": ("L", "I;16"),
    "I;16B": ("L", "I;16"),
    "I;16N": ("L", "I;16"),
}


@pytest.fixture(autouse=True)
def home(
    micro: object, micro_lossless: object, micro_progic: object, micro_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


def of_mode(mode: str) -> Image.Image:
    """A picture of the mode, with transparency if it can have some."""
    rgb = Image.fromarray(RGB)
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    if mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        return ImageCms.applyTransform(rgb, lab)
    if mode == "PA":
        image = rgb.quantize(16).convert("PA")
        image.putalpha(Image.fromarray(ALPHA))
        return image
    if mode == "F":
        return Image.fromarray((X / 24).astype(np.float32))
    if mode == "I" or mode.startswith("I;16"):
        return Image.fromarray((X * 2500 + Y).astype(np.int32)).convert(mode)
    if mode in ("LA", "La"):
        return rgba.convert("LA").convert(mode)
    return (rgba if mode.startswith("RGBA") or mode == "RGBa" else rgb).convert(mode)


def saved(image: Image.Image, **options: object) -> BytesIO:
    file = BytesIO()
    image.save(file, "ARPC", **options)
    return file


def test_every_mode_is_here() -> None:
    assert set(Image.MODES) <= set(MODES)


@pytest.mark.parametrize("mode", MODES)
def test_modes_lossy(mode: str) -> None:
    image, expected = of_mode(mode), MODES[mode][0]
    assert image.mode == mode
    opened = Image.open(saved(image, **MICRO))
    assert (opened.mode, opened.size) == (expected, image.size)
    opened.load()
    assert opened.mode == opened.im.mode == expected
    if expected.endswith("A"):
        assert np.array_equal(np.asarray(opened)[..., -1], ALPHA)


@pytest.mark.parametrize("mode", MODES)
def test_modes_lossless(mode: str) -> None:
    # A small part, since lossless files take their time.
    image, expected = of_mode(mode).crop((4, 3, 13, 9)), MODES[mode][1]
    if expected not in MODES:
        with pytest.raises(OSError, match=f"{expected} cannot be kept exactly"):
            saved(image, **LOSSLESS)
        return
    opened = Image.open(saved(image, **LOSSLESS))
    assert opened.mode == expected
    same = image if mode.startswith("I;16") else image.convert(expected)
    assert np.array_equal(np.asarray(opened), np.asarray(same))


def test_opening_says_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "a.arpc"
    Image.fromarray(RGB).save(path, caption="a ramp", **MICRO)
    data = path.read_bytes()
    described = arpc_codec.info(data)
    with Image.open(path) as image:
        assert (image.format, image.get_format_mimetype()) == ("ARPC", "image/x.arpc")
        assert {key: image.info[key] for key in ("codec", "model", "scales", "scales_declared", "caption")} == {
            "codec": "arpc",
            "model": 100,
            "scales": 2,
            "scales_declared": 2,
            "caption": "a ramp",
        }
        assert sum(image.info["bytes_per_scale"]) == described.payload_bytes
        assert np.array_equal(np.asarray(image), np.asarray(arpc_codec.decode(data)))
        # As a caption is what Pillow calls a comment, it goes on.
        assert Image.open(saved(image, **MICRO)).info["caption"] == "a ramp"


@pytest.mark.parametrize("text", ["x" * 1025, "auto", b"bytes"])
def test_what_other_formats_call_a_caption(text: object) -> None:
    """A PNG may have a text of that name."""
    image = Image.fromarray(RGB)
    image.info["caption"] = text
    assert "caption" not in Image.open(saved(image, **MICRO)).info


def test_progic_has_stages() -> None:
    image = Image.open(saved(Image.fromarray(RGB), codec="progic", model="micro-progic", stages=2))
    assert (image.info["codec"], image.info["scales"], len(image.info["bytes_per_scale"])) == ("progic", 2, 2)
    assert "caption" not in image.info
    image.load()


def test_cut_files_follow_pillows_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(RGB), **MICRO).getvalue()[:-1]
    image = Image.open(BytesIO(data))
    assert (image.info["scales"], image.info["scales_declared"]) == (1, 2)
    with pytest.raises(OSError, match="truncated: 1 of 2 scales arrived"):
        image.load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert np.array_equal(np.asarray(image), np.asarray(arpc_codec.decode(data, allow_truncated=True)))


def test_a_cut_alpha_plane_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    image = Image.open(BytesIO(saved(of_mode("RGBA"), **MICRO).getvalue()[:-1]))
    image.load()
    assert image.mode == image.im.mode == "RGB"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_files_are_refused_with_the_reason(path: Path) -> None:
    with pytest.raises(UnidentifiedImageError) as refused:
        Image.open(path)
    ours = path.read_bytes().startswith(MAGIC)
    assert str(refused.value).startswith("cannot identify") != ours


def test_damage_and_missing_models_are_found_when_pixels_are_needed() -> None:
    data = bytearray(saved(Image.new("L", (8, 8)), **LOSSLESS).getvalue())
    data[-1] ^= 0x55
    with pytest.raises(OSError, match="damaged: the samples are right"):
        Image.open(BytesIO(data)).load()
    image = Image.open(VECTORS / "good" / "large-model-id.arpc")
    with pytest.raises(OSError, match="is not on this machine"):
        image.load()


def test_deep_colour_has_no_mode() -> None:
    data = (VECTORS / "lossless" / "colour-16.arpc").read_bytes()
    with pytest.raises(UnidentifiedImageError, match="PIL has no 16-bit colour"):
        Image.open(BytesIO(data))


@pytest.mark.parametrize("options", [MICRO, LOSSLESS], ids=["lossy", "lossless"])
def test_metadata_that_is_given_is_stored(options: dict[str, object]) -> None:
    exif = Image.Exif()
    exif[0x010E] = "words"
    given = {"icc_profile": PROFILE, "exif": exif, "xmp": b"<x:xmpmeta/>"}
    image = Image.open(saved(SMALL, **given, **options))
    assert image.info["icc_profile"] == PROFILE
    assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert image.info["exif"].startswith(b"Exif\0\0")
    assert image.getexif()[0x010E] == "words"
    again = saved(image, icc_profile=None, exif=None, xmp=None, **options)
    assert not {"icc_profile", "exif", "xmp"} & set(Image.open(again).info)


def test_metadata_of_the_picture_is_kept_on_request_and_without_loss() -> None:
    image = SMALL.copy()
    image.info |= {"icc_profile": PROFILE, "XML:com.adobe.xmp": "<x:xmpmeta/>"}
    assert not {"icc_profile", "xmp"} & set(Image.open(saved(image, **MICRO)).info)
    for keep in (("icc",), "icc"):
        kept = Image.open(saved(image, keep=keep, **MICRO)).info
        assert (kept["icc_profile"], "xmp" in kept) == (PROFILE, False)
    assert {"icc_profile", "xmp"} <= set(Image.open(saved(image, **LOSSLESS)).info)
    assert "xmp" not in Image.open(saved(image, xmp=None, **LOSSLESS)).info
    # The caller's picture stays as it was.
    assert set(image.info) == {"icc_profile", "XML:com.adobe.xmp"}


def test_orientation_is_applied_to_lossy_pixels_only() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(saved(SMALL, exif=exif, **MICRO))
    assert (turned.size, turned.getexif()[0x0112]) == ((5, 7), 1)
    as_is = Image.open(saved(SMALL, exif=exif, **LOSSLESS))
    assert (as_is.size, as_is.getexif()[0x0112]) == ((7, 5), 6)


def test_of_several_frames_the_current_one_is_saved() -> None:
    file = BytesIO()
    Image.new("L", (8, 8), 0).save(file, "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 200)])
    frames = Image.open(file)
    frames.seek(1)
    assert Image.open(saved(frames, **LOSSLESS)).convert("L").getextrema() == (200, 200)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"scales": 0}, ValueError, "at least one scale"),
        ({"scales": 1, "target_bytes": 9}, ValueError, "only one"),
        ({"lossless": True, "scales": 1}, ValueError, "no rate"),
        ({"lossless": True, "codec": "arpc"}, ValueError, "not lossless"),
        ({"keep": ("all",)}, ValueError, "cannot keep all"),
        ({"icc_profile": "sRGB"}, ValueError, "icc_profile must be bytes, not str"),
        ({"model": "huge"}, OSError, "is not on this machine"),
    ],
)
def test_options_that_cannot_be_meant(
    options: dict[str, object], error: type[Exception], words: str, tmp_path: Path
) -> None:
    model = "micro-lossless" if "lossless" in options else "micro"
    with pytest.raises(error, match=words):
        Image.fromarray(RGB).save(tmp_path / "a.arpc", **{"model": model} | options)
    assert not list(tmp_path.iterdir())


def test_options_of_other_formats_are_ignored() -> None:
    image = Image.fromarray(RGB)
    assert saved(image, quality=80, **MICRO).getvalue() == arpc_codec.encode(image, **MICRO)


@pytest.mark.parametrize(
    "imports",
    [
        "import arpc_codec; from PIL import Image",
        "from PIL import Image; import arpc_codec",
        "import arpc_codec; from PIL import Image, PngImagePlugin",
        "from PIL import Image; Image.init(); import arpc_codec",
    ],
)
def test_importing_the_package_is_enough_and_opening_is_light(imports: str) -> None:
    heavy = "[name for name in ('torch', 'numpy') if name in sys.modules]"
    finders = "[finder for finder in sys.meta_path if 'arpc' in str(type(finder))]"
    code = (
        f"import sys; {imports}; image = Image.open({str(VECTORS / 'tiny' / 'whole.arpc')!r}); "
        f"print(image.format, image.size, Image.registered_extensions()['.arpc'], {heavy}, {finders})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True, text=True)
    assert result.stdout.strip() == "ARPC (128, 128) ARPC [] []"


def parsed(data: bytes, piece: int) -> Image.Image:
    parser = ImageFile.Parser()
    for start in range(0, len(data), piece):
        parser.feed(data[start : start + piece])
    image = parser.close()
    assert isinstance(image, Image.Image)
    return image


BOTH = pytest.mark.parametrize(
    ("image", "options"), [(Image.fromarray(RGB), MICRO), (SMALL, LOSSLESS)], ids=["lossy", "lossless"]
)


@BOTH
def test_files_in_pieces(image: Image.Image, options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(image, **options).getvalue()
    whole = np.asarray(Image.open(BytesIO(data)))
    for piece in (1, 9, len(data)):
        assert np.array_equal(np.asarray(parsed(data, piece)), whole)
    # As of a cut PNG: of a part of the header, and of a part of the pixels.
    for kept, words in ((2, "cannot parse this image"), (len(data) - 1, "truncated")):
        with pytest.raises(OSError, match=words):
            parsed(data[:kept], 5)
    with pytest.raises(OSError, match="cannot parse this image"):
        parsed(b"no picture", 5)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert parsed(data[:-1], 5).size == image.size


@BOTH
def test_verifying_finds_cut_files(image: Image.Image, options: dict[str, object], tmp_path: Path) -> None:
    data = saved(image, **options).getvalue()
    path = tmp_path / "a.arpc"
    path.write_bytes(data)
    with Image.open(path) as opened:
        opened.verify()
        assert opened.fp is None
        with pytest.raises(RuntimeError, match="directly after open"):
            opened.verify()
    for kept in (len(data) - 1, len(data) - 2):
        with pytest.raises(OSError, match="truncated"):
            Image.open(BytesIO(data[:kept])).verify()


def test_verifying_finds_holes_and_wrong_checks() -> None:
    for vector, words in (("good/progic-holes", "holes"), ("good/cut-at-chunk", "truncated")):
        with pytest.raises(OSError, match=words):
            Image.open(VECTORS / f"{vector}.arpc").verify()
    data = bytearray(saved(SMALL, **LOSSLESS).getvalue())
    data[-1] ^= 1
    with pytest.raises(OSError, match="the file check is wrong"):
        Image.open(BytesIO(data)).verify()
