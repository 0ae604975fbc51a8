"""The page in a real browser: clicks, drags and keys, judged by the pixels on the screen.

Needs the package playwright and a Chromium, its own or one on the path; skips without.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from arpc_codec.bench.report.page import page as report
from arpc_codec.bench.report.pictures import Exhibit, webp
from arpc_codec.bench.run import Measured, PeerFiles, Step
from arpc_codec.bench.store import FileKey
from arpc_codec.bench.table import Facts

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
CODECS = ("original", "arpc", "jpeg", "webp")
ALL = (*CODECS, "progic")
Colour = tuple[int, ...]


def colour_of(picture: int, codec: str, k: int) -> Colour:
    """One that no other choice has."""
    return (40 + 150 * picture, 20 + 55 * ALL.index(codec), 0 if codec == "original" else 60 * k)


def flat(colour: Colour) -> bytes:
    return webp(np.full((64, 96, 3), colour, np.uint8))


def written(path: Path, ours: tuple[str, ...]) -> Path:
    """A page of two pictures at three k; files of our first codec have 100^k bytes, those of the second three times."""
    steps, exhibits = [], []
    for number in (0, 1):
        for place, codec in enumerate(ours):
            for k in (1, 2, 3):
                measured = Measured(k, 1.0, 100**k * 3**place, {"psnr": 20.0 + k})
                peers = {name: PeerFiles(100, {"psnr": measured}) for name in CODECS[2:]}
                steps.append(Step(f"{number}.png", 64 * 96, codec, k, measured.bytes, measured, peers))
        files = {FileKey(name, k, 1.0): flat(colour_of(number, name, k)) for name in ALL[1:] for k in (1, 2, 3)}
        exhibits.append(Exhibit(f"{number}.png", 96, 64, flat(colour_of(number, "original", 0)), files))
    path.write_text(report(steps, exhibits, Facts(["psnr"])), "utf-8")
    return path


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page") / "report.html", ("arpc",))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("package playwright is not installed: no browser to try the page in")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as started:
        try:
            # Containers are often run by root, which Chromium's sandbox refuses.
            browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"no Chromium starts: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(params=sorted(WIDTHS))
def tab(request: pytest.FixtureRequest, browser: Any, html: Path) -> Iterator[Any]:
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    tab = context.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda sent: None if sent.url.startswith(("file:", "data:")) else said.append(sent.url))
    tab.goto(html.as_uri())
    yield tab
    assert said == []
    context.close()


def seen(tab: Any, stage: str = "#stage") -> Callable[[float, float], Colour]:
    """Function (x, y), as parts of a stage's sides -> colour on the screen there."""
    pixels = np.asarray(Image.open(io.BytesIO(tab.locator(stage).screenshot())).convert("RGB"))

    def at(x: float, y: float = 0.2) -> Colour:
        return tuple(int(value) for value in pixels[int(y * pixels.shape[0]), int(x * pixels.shape[1])])

    return at


def assert_like(found: Colour, wanted: Colour) -> None:
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < 12, f"{found}, not {wanted}"


def point(tab: Any, x: float, y: float = 0.5) -> tuple[float, float]:
    """Place in the window of a point of the stage."""
    tab.locator("#stage").scroll_into_view_if_needed()
    box = tab.locator("#stage").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_every_choice_shows_its_picture(tab: Any) -> None:
    for picture in (0, 1):
        tab.select_option("#picture", f"{picture}.png")
        for k in (1, 2, 3):
            tab.locator("#budget").fill(str(k - 1))
            for left, right in (*pairwise(CODECS), ("webp", "original")):
                tab.select_option("#left", left)
                tab.select_option("#right", right)
                at = seen(tab)
                assert_like(at(0.2), colour_of(picture, left, k))
                assert_like(at(0.8), colour_of(picture, right, k))
            assert f"{100**k:,} bytes" in tab.locator("#left-text").inner_text()


def test_wipe_by_drag_click_and_keys(tab: Any) -> None:
    left, right = colour_of(0, "arpc", 2), colour_of(0, "webp", 2)
    assert_like(seen(tab)(0.3), left)
    tab.mouse.move(*point(tab, 0.5))
    tab.mouse.down()
    tab.mouse.move(*point(tab, 0.35), steps=4)
    tab.mouse.move(*point(tab, 0.15), steps=4)
    tab.mouse.up()
    assert_like(seen(tab)(0.3), right)
    assert_like(seen(tab)(0.05), left)
    tab.mouse.click(*point(tab, 0.75))
    assert_like(seen(tab)(0.6), left)
    assert_like(seen(tab)(0.9), right)
    wipe = tab.locator("#wipe")
    wipe.focus()
    for _ in range(20):
        wipe.press("ArrowLeft")
    assert 34 <= int(wipe.get_attribute("aria-valuenow")) <= 36
    assert_like(seen(tab)(0.5), right)
    wipe.press("End")
    assert_like(seen(tab)(0.8), left)
    wipe.press("Home")
    assert_like(seen(tab)(0.2), right)


def test_wipe_by_touch(browser: Any, html: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.goto(html.as_uri())
    x, y = point(tab, 0.5)
    session = context.new_cdp_session(tab)
    for kind, places in (("touchStart", [x]), ("touchMove", [x - 60]), ("touchMove", [x - 120]), ("touchEnd", [])):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": p, "y": y} for p in places]})
    assert_like(seen(tab)(0.35), colour_of(0, "webp", 2))
    assert_like(seen(tab)(0.1), colour_of(0, "arpc", 2))
    context.close()


def test_zoom_and_pan_keep_both_pictures_together(tab: Any) -> None:
    def moves() -> list[str]:
        return [tab.locator(f"#{side}-image").evaluate("image => image.style.transform") for side in ("left", "right")]

    still = moves()
    tab.locator("label", has_text="4×").click()
    zoomed = moves()
    assert "scale(4)" in zoomed[0]
    assert zoomed != still
    tab.mouse.move(*point(tab, 0.8, 0.8))
    tab.mouse.down()
    tab.mouse.move(*point(tab, 0.6, 0.7), steps=3)
    tab.mouse.up()
    dragged = moves()
    assert dragged != zoomed
    assert tab.locator("#wipe").get_attribute("aria-valuenow") == "50"
    tab.locator("#wipe").press("Shift+ArrowRight")
    assert moves() != dragged
    assert all(left == right for left, right in (still, zoomed, dragged, moves()))
    tab.locator("#wipe").press("-")
    tab.locator("#wipe").press("-")
    assert moves() == still
    assert tab.locator("input[name=zoom]:checked").input_value() == "1"


def test_scrubber_goes_from_the_first_byte_to_the_last(tab: Any) -> None:
    # 100, 10,000 and 1,000,000 bytes are at 1/3, 2/3 and all of the way.
    scrubber = tab.locator("#progress")
    for position, step in ((1000, 3), (900, 2), (668, 2), (600, 1), (335, 1)):
        scrubber.fill(str(position))
        assert_like(seen(tab, "#progress-stage")(0.5), colour_of(0, "arpc", step))
    scrubber.fill("0")
    assert "1 byte, no whole step yet" in tab.locator("#progress-text").inner_text()
    assert tab.locator("#progress-image").is_hidden()
    tab.select_option("#picture", "1.png")
    scrubber.fill("1000")
    assert_like(seen(tab, "#progress-stage")(0.5), colour_of(1, "arpc", 3))


def test_two_codecs_of_ours(browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    tab = context.new_page()
    tab.goto(written(tmp_path / "report.html", ("arpc", "progic")).as_uri())
    tab.select_option("#left", "arpc")
    tab.select_option("#right", "progic")
    # Budgets are those of arpc 1, progic 1, arpc 2 and so on; each codec shows its smallest file that is not below.
    for budget, arpc, progic in ((0, 1, 1), (1, 2, 1), (2, 2, 2), (3, 3, 2), (4, 3, 3)):
        tab.locator("#budget").fill(str(budget))
        at = seen(tab)
        assert_like(at(0.2), colour_of(0, "arpc", arpc))
        assert_like(at(0.8), colour_of(0, "progic", progic))
    tab.locator("#budget").fill("5")
    assert tab.locator("#left-image").is_hidden()
    assert "no file as large" in tab.locator("#left-text").inner_text()
    assert "3 stages of progic" in tab.locator("#budget-text").inner_text()
    for codec in ("progic", "arpc"):
        tab.select_option("#progress-codec", codec)
        assert_like(seen(tab, "#progress-stage")(0.5), colour_of(0, codec, 3))
        assert (
            f"3 {'stages' if codec == 'progic' else 'scales'} of {codec}" in tab.locator("#progress-text").inner_text()
        )
    wide, window = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    context.close()


def test_one_codec_of_ours_is_no_choice(tab: Any) -> None:
    assert tab.locator("#progress-choice").is_hidden()


def test_nothing_is_wider_than_the_window(tab: Any) -> None:
    wide, window = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
