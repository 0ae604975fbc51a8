import numpy as np
import pytest
from PIL import Image

from arpc_codec.bench.peers import PEERS, SCALES, Jpeg2000, Peer, scaled
from arpc_codec.metrics.psnr import psnr


def _picture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(params=sorted(PEERS))
def peer(request: pytest.FixtureRequest) -> Peer:
    reason = PEERS[request.param].missing()
    if reason is not None:
        pytest.skip(reason)
    return PEERS[request.param]()


@pytest.mark.parametrize("scale", SCALES)
def test_files_decode_to_the_full_size(peer: Peer, scale: float) -> None:
    image = _picture(142, 201)
    settings = peer.settings()
    decoded = peer.decode(peer.encode(image, settings[len(settings) * 3 // 4], scale), (201, 142))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8
    assert psnr(image, decoded) > 20


@pytest.mark.parametrize("size", [(1, 1), (9, 14), (30, 30), (25, 64), (17, 200)])
def test_small_pictures_are_coded_at_every_size_that_a_codec_takes(peer: Peer, size: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: size[1], : size[0]]
    image = np.repeat((40 + 3 * rows + columns)[..., None].clip(0, 255).astype(np.uint8), 3, 2)
    scales = peer.scales(size)
    assert scales[0] == 1
    for scale in scales:
        decoded = peer.decode(peer.encode(image, peer.settings()[-1], scale), size)
        assert decoded.shape == image.shape
        assert psnr(image, decoded) > 24


def test_later_settings_make_larger_and_better_files(peer: Peer) -> None:
    image = _picture(96, 128)
    settings = peer.settings()
    assert len(set(settings)) == len(settings)
    files = [peer.encode(image, settings[i]) for i in (0, len(settings) // 2, -1)]
    quality = [psnr(image, peer.decode(data, (128, 96))) for data in files]
    assert len(files[0]) < len(files[1]) < len(files[2])
    assert quality[0] < quality[1] < quality[2]


def test_files_are_the_same_each_time_and_versions_are_named(peer: Peer) -> None:
    image = _picture(40, 48)
    assert peer.encode(image, peer.settings()[0]) == peer.encode(image, peer.settings()[0])
    assert any(c.isdigit() for c in peer.version())


def test_a_missing_package_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("jxl", "heic", "vvc"):
        assert "not installed" in str(PEERS[name].missing())


def test_a_pillow_without_a_codec_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    assert "no jpg_2000" in str(Jpeg2000.missing())


def test_jpeg_2000_is_a_bare_codestream_of_the_wanted_size() -> None:
    if reason := Jpeg2000.missing():
        pytest.skip(reason)
    peer = Jpeg2000()
    # Noise can fill any rate.
    image = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    for times in (40, 12):
        setting = min(peer.settings(), key=lambda setting: abs(setting - times))
        data = peer.encode(image, setting)
        assert data[:4] == b"\xff\x4f\xff\x51"
        assert len(data) == pytest.approx(image.size / setting, rel=0.05)


def test_scaled_sizes() -> None:
    assert [scaled((768, 512), s) for s in SCALES] == [(768, 512), (384, 256), (192, 128)]
    assert scaled((1, 3), 0.25) == (1, 1)
