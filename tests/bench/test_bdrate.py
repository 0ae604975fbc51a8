"""BD-rate on curves whose answer is known."""

import numpy as np
import pytest

from arpc_codec.bench.bdrate import BdRate, bd_rate

CURVE = [(0.1, 25.0), (0.2, 28.0), (0.4, 30.5), (0.8, 33.5)]


def _percent(found: BdRate | None) -> float:
    assert found is not None
    return found.percent


def test_equal_curves_and_half_the_rate() -> None:
    assert _percent(bd_rate(CURVE, CURVE)) == pytest.approx(0)
    assert _percent(bd_rate(CURVE, [(rate / 2, quality) for rate, quality in CURVE])) == pytest.approx(-50)
    assert _percent(bd_rate(CURVE, [(rate * 2, quality) for rate, quality in CURVE])) == pytest.approx(100)


def test_an_analytic_curve_on_the_overlap_only() -> None:
    # ln R = q and ln R = 0.8 q + 1, which share 2 <= q <= 5: the mean difference is 1 - 0.2 * 3.5.
    first = [(float(np.exp(q)), q) for q in (0.0, 1.0, 2.5, 5.0)]
    second = [(float(np.exp(0.8 * q + 1)), q) for q in (2.0, 4.0, 7.0)]
    found = bd_rate(first, second)
    assert found == BdRate(pytest.approx(100 * np.expm1(0.3)), 2.0, 5.0)


def test_a_bent_analytic_curve() -> None:
    # ln R = q**2 beside ln R = 0: the mean over 1..2 is 7 / 3.
    quality = np.linspace(1, 2, 200)
    bent = [(float(np.exp(q * q)), float(q)) for q in quality]
    flat = [(1.0, 1.0), (1 + 1e-12, 2.0)]
    assert _percent(bd_rate(flat, bent)) == pytest.approx(100 * np.expm1(7 / 3), rel=1e-4)


def test_lower_can_be_better() -> None:
    lpips = [(rate, -quality) for rate, quality in CURVE]
    dearer = [(rate * 1.25, quality) for rate, quality in lpips]
    assert bd_rate(lpips, dearer, higher_is_better=False) == BdRate(pytest.approx(25), -33.5, -25.0)


def test_points_that_nobody_would_send_do_not_count() -> None:
    worse = [*CURVE, (0.3, 27.0), (0.8, 30.0), (0.9, 33.5)]
    assert bd_rate(CURVE, worse) == bd_rate(CURVE, CURVE)


def test_no_overlap_and_too_few_points() -> None:
    assert bd_rate(CURVE, [(rate, quality + 8.5) for rate, quality in CURVE]) is None
    assert bd_rate(CURVE, CURVE[:1]) is None
    assert bd_rate([], CURVE) is None


@pytest.mark.parametrize("bad", [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, float("inf"))])
def test_impossible_points(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no point of a curve"):
        bd_rate(CURVE, [*CURVE, bad])


def test_pieces_are_those_of_scipy() -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(7)
    for count in (2, 3, 6):
        first, second = (
            list(zip(np.sort(rng.uniform(0.1, 2, count)), np.sort(rng.uniform(0, 9, count)), strict=True))
            for _ in range(2)
        )
        found = bd_rate(first, second)
        if found is None:
            continue
        base, other = (
            interpolate.PchipInterpolator([q for _, q in curve], np.log([r for r, _ in curve])).integrate(
                found.low, found.high
            )
            for curve in (first, second)
        )
        expected = 100 * np.expm1((other - base) / (found.high - found.low))
        assert found.percent == pytest.approx(expected)
