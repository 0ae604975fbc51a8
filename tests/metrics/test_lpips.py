from pathlib import Path

import pytest
import torch

from arpc_codec.errors import ModelError
from arpc_codec.metrics.lpips import LPIPS
from arpc_codec.metrics.vggfeat import VGGFeatures, vgg_loss


@pytest.fixture(params=["alex", "squeeze"])
def lpips(request: pytest.FixtureRequest, metrics_dir: Path) -> LPIPS:
    return LPIPS(request.param, metrics_dir)


def _pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))
    return a, b


def test_squeeze_gives_the_value_in_torchmetrics_documentation(metrics_dir: Path) -> None:
    lpips = LPIPS("squeeze", metrics_dir)
    torch.manual_seed(123)
    a, b = (torch.rand(10, 3, 100, 100) * 2 - 1 for _ in range(2))
    assert lpips(a, b).mean().item() == pytest.approx(0.1008, abs=5e-5)


def test_distance_to_itself_is_zero(lpips: LPIPS) -> None:
    a, _ = _pair(2, 3, 64, 80)
    assert lpips(a, a).tolist() == [0, 0]


def test_distance_grows_with_noise(lpips: LPIPS) -> None:
    a, noise = _pair(1, 3, 64, 64)
    a = torch.nn.functional.avg_pool2d(a, 9, 1, 4)
    distances = [lpips(a, a + s * noise).item() for s in (0.02, 0.1, 0.5)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_each_picture_of_a_batch_has_its_own_distance(lpips: LPIPS) -> None:
    a, b = _pair(3, 3, 64, 64)
    one_by_one = torch.cat([lpips(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    assert lpips(a, b).tolist() == pytest.approx(one_by_one.tolist(), rel=1e-4)


def test_building_leaves_the_random_state_alone(metrics_dir: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    LPIPS("alex", metrics_dir)
    VGGFeatures(metrics_dir)
    assert torch.equal(torch.rand(3), expected)


def test_parameters_are_frozen_and_flat_pictures_have_finite_gradients(lpips: LPIPS) -> None:
    assert not any(p.requires_grad for p in lpips.parameters())
    flat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    lpips(flat, torch.full_like(flat, 0.5)).sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
    assert flat.grad.abs().sum() > 0


def test_bfloat16_and_channels_last_stay_close(lpips: LPIPS) -> None:
    a, b = _pair(1, 3, 64, 64)
    exact = lpips(a, b).item()
    lpips.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        rough = lpips(a.to(memory_format=torch.channels_last), b.to(memory_format=torch.channels_last))
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact, rel=0.05)


def test_vgg_has_the_known_first_biases_and_shapes(metrics_dir: Path) -> None:
    vgg = VGGFeatures(metrics_dir)
    bias = vgg.get_parameter("conv1_1.bias")[:4].tolist()
    assert bias == pytest.approx([0.7301776, 0.06493629, 0.03428847, 0.8260386], rel=1e-3)
    a, _ = _pair(1, 3, 32, 48)
    assert [tuple(m.shape) for m in vgg(a)] == [(1, 64, 32, 48), (1, 128, 16, 24), (1, 256, 8, 12)]


def test_vgg_loss_is_zero_for_equal_pictures_and_grows(metrics_dir: Path) -> None:
    vgg = VGGFeatures(metrics_dir)
    a, b = _pair(1, 3, 32, 32)
    target = vgg(a)
    losses = [vgg_loss(vgg(a + s * (b - a)), target).item() for s in (0, 0.1, 1)]
    assert losses[0] == 0
    assert losses[0] < losses[1] < losses[2]


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"lpips_alex_v0\.1"):
        LPIPS("alex", tmp_path)
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    with pytest.raises(ModelError, match="ARPC_METRICS"):
        VGGFeatures()
