"""The report of a bench from made-up steps: what it says, draws and holds."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from arpc_codec.bench.compare import compare
from arpc_codec.bench.outcomes import Outcome, outcomes_text, read_outcomes
from arpc_codec.bench.peers import PEERS
from arpc_codec.bench.report.curves import all_series, chart
from arpc_codec.bench.report.figure import figure
from arpc_codec.bench.report.loss import loss_section
from arpc_codec.bench.report.page import page
from arpc_codec.bench.report.pictures import LARGEST, Exhibit, fitting, middle, webp
from arpc_codec.bench.report.plot import log_ticks, mark_of, ticks
from arpc_codec.bench.report.tables import bd_rate_table
from arpc_codec.bench.report.words import NOTHING, findings, unjudged
from arpc_codec.bench.run import Measured, PeerFiles, Step
from arpc_codec.bench.steps import COLUMNS, jsonl, steps_csv
from arpc_codec.bench.store import FileKey
from arpc_codec.bench.table import Facts, markdown
from arpc_codec.metrics.panel import METRICS, Metric

PIXELS = 48 * 64
FACTS = Facts(deciding=["psnr"], trained_on=["lpips_alex"], missing={"avif": "not <here>"})


def made_up_step(
    picture: str, k: int, ours: dict[str, float], peers: dict[str, dict[str, float]], codec: str = "arpc"
) -> Step:
    """Our file has 100 k bytes, a peer's 10 more; no peer has less than 200."""
    size = 100 * k
    files = {
        name: PeerFiles(200, {"psnr": Measured(k, 0.5, max(size + 10, 200), dict(values))})
        for name, values in peers.items()
    }
    return Step(picture, PIXELS, codec, k, size, Measured(k, 1.0, size, dict(ours)), files)


def made_up_steps() -> list[Step]:
    """Two pictures; ours wins by LPIPS until k = 3, loses by PSNR to WebP, always beats JPEG."""
    return [
        made_up_step(
            picture,
            k,
            {"lpips_alex": 0.7 - 0.1 * k, "psnr": 20 + k},
            {
                "jpeg": {"lpips_alex": 0.9 - 0.1 * k, "psnr": 19 + k},
                "webp": {"lpips_alex": 0.83 - 0.14 * k, "psnr": 21 + k},
            },
        )
        for picture in ("kodim01.png", "kodim02.png")
        for k in (1, 2, 3, 4)
    ]


def made_up_exhibit(steps: list[Step], picture: str) -> Exhibit:
    """Every file is one colour of its own."""
    colours = np.random.default_rng(len(picture) + int(picture[5:7])).integers(0, 256, (99, 3), dtype=np.uint8)
    keys = [
        FileKey(name, measured.setting, measured.scale)
        for step in steps
        if step.picture == picture
        for name, measured in ((step.codec, step.ours), *((name, peer.main) for name, peer in step.peers.items()))
        if measured
    ]
    pictures = [webp(np.full((48, 64, 3), colour, np.uint8)) for colour in colours]
    return Exhibit(picture, 64, 48, pictures[-1], dict(zip(keys, pictures, strict=False)))


@pytest.fixture(scope="module")
def html() -> str:
    steps = made_up_steps()
    return page(steps, [made_up_exhibit(steps, name) for name in ("kodim01.png", "kodim02.png")], FACTS)


def test_losses_are_said_like_wins() -> None:
    at_once, jpeg, webp_ = findings(compare(made_up_steps()), ["lpips_alex"])
    assert at_once.wins == ["Up to 0.781 bpp: LPIPS-Alex †."]
    assert at_once.losses == ["At 1.04 bpp: LPIPS-Alex †.", "At every rate compared: PSNR."]
    assert jpeg.wins == ["At every rate compared: LPIPS-Alex † and PSNR."]
    assert jpeg.losses == [NOTHING]
    assert webp_.losses == at_once.losses
    assert unjudged(compare(made_up_steps())).startswith("At 0.26 bpp no peer here")


def test_unequal_comparisons_are_remarked() -> None:
    step = made_up_step("a", 3, {"psnr": 30}, {"jpeg": {"psnr": 29}})
    step.peers["jpeg"].best["psnr"] = Measured(1, 1.0, 900, {"psnr": 29})
    step.peers["webp"] = PeerFiles(200)
    jpeg = findings(compare([step]))[0]
    assert jpeg.remarks == ["It has no files as small as ours: at 0.781 bpp its bytes are 3.0 times ours."]


def test_a_win_that_comes_and_goes_names_its_rates() -> None:
    psnr = {2: 30, 3: 10, 4: 30}
    steps = [made_up_step("a", k, {"psnr": psnr[k]}, {"jpeg": {"psnr": 20}}) for k in psnr]
    (jpeg,) = findings(compare(steps))
    assert (jpeg.wins, jpeg.losses) == (["At 0.521 and 1.04 bpp: PSNR."], ["At 0.781 bpp: PSNR."])


def test_curves_have_a_mark_for_each_point_and_published_ones_are_hollow() -> None:
    comparisons = compare(made_up_steps())
    for metric, dataset, stated in (("psnr", "Kodak", 4), ("lpips_alex", "Kodak", 4), ("psnr", "", 0)):
        series = all_series(comparisons, metric, dataset)
        svg = chart(metric, series)
        assert svg.count('class="mark ours"') == svg.count('class="line ours"') * 4 == 4
        assert svg.count('class="mark peer"') == 2 * 4
        assert svg.count('class="mark published"') == stated
        assert svg.count("<title>") == 12 + stated
        assert svg.count("<path") == svg.count("/>") + svg.count("</path>")
    assert chart("niqe", []) == ""


def test_better_is_up() -> None:
    def heights(metric: str) -> list[float]:
        svg = chart(metric, all_series(compare(made_up_steps()), metric, ""))
        return [float(y) for y in re.findall(r'ours" d="[^"]*" transform="translate\(\S+ (\S+)\)', svg)]

    for metric in ("psnr", "lpips_alex"):
        assert heights(metric) == sorted(heights(metric), reverse=True)
        assert len(heights(metric)) == 4


def two_codecs() -> list[Step]:
    """As `made_up_steps`, with a second codec of ours: its files at k have 150 k bytes, and lose to JPEG by PSNR."""
    steps = made_up_steps()
    for step in made_up_steps():
        peers = {"jpeg": {"psnr": 20 + step.k}}
        other = made_up_step(step.picture, int(step.k), {"psnr": 19 + step.k}, peers, "progic")
        size = 150 * int(step.k)
        assert other.ours
        ours, jpeg = replace(other.ours, bytes=size), replace(other.peers["jpeg"].best["psnr"], bytes=size, scale=1.0)
        steps.append(replace(other, bytes=size, ours=ours, peers={"jpeg": PeerFiles(90, {"psnr": jpeg})}))
    return steps


def test_each_of_our_codecs_has_its_own_sentences_and_curves() -> None:
    comparisons = compare(two_codecs())
    found = [(one.codec, one.rival.split(" ")[0]) for one in findings(comparisons)]
    assert found == [("arpc", "All"), ("arpc", "JPEG"), ("arpc", "WebP"), ("progic", "JPEG")]
    assert findings(comparisons)[-1].losses == ["At every rate compared: PSNR."]
    assert findings(comparisons)[:3] == findings(compare(made_up_steps()))
    series = all_series(comparisons, "psnr", "")
    assert [(one.name, one.kind, len(one.points)) for one in series] == [
        ("arpc", "ours", 4),
        ("jpeg", "peer", 4),
        ("webp", "peer", 4),
        ("progic", "ours", 4),
        ("jpeg", "peer", 4),
    ]
    assert len({one.mark for one in series}) == 4
    assert chart("psnr", series).count('class="line ours"') == 2
    table = bd_rate_table(comparisons, ["psnr"], [])
    assert re.findall(r'"row">(\w+ beside \w+)', table) == [
        "arpc beside JPEG",
        "arpc beside WebP",
        "progic beside JPEG",
    ]
    alone = bd_rate_table(compare(made_up_steps()), ["psnr"], [])
    assert table.split("<tr>")[:4] == alone.removesuffix("</tbody></table></div>").split("<tr>")


def test_clipped_scores_are_no_part_of_a_bd_rate() -> None:
    def steps(clipped: tuple[int, ...]) -> list[Step]:
        """The peer needs 10 bytes more for the same score; at the k in `clipped` both score 0."""
        scores = {k: 0.0 if k in clipped else 10.0 * k for k in (2, 3, 4, 5, 6)}
        values = {k: {"psnr": 20.0 + k, "vmaf": score} for k, score in scores.items()}
        return [made_up_step("a", k, each, {"jpeg": each}) for k, each in values.items()]

    assert "20.0 to 60.0" in bd_rate_table(compare(steps(())), ["vmaf"], [])
    assert "40.0 to 60.0" in bd_rate_table(compare(steps((2, 3))), ["vmaf"], [])


def test_what_only_some_pictures_have_is_no_part_of_curves_and_claims() -> None:
    steps, whole = made_up_steps()[:-1], [step for step in made_up_steps() if step.k < 4]
    some, all_have = compare(steps), compare(whole)
    assert [c.whole for c in some] == [True, True, True, False]
    assert all_series(some, "psnr", "") == all_series(all_have, "psnr", "")
    assert bd_rate_table(some, ["psnr"], []) == bd_rate_table(all_have, ["psnr"], [])
    assert findings(some) == findings(all_have)
    html = page(steps, [], FACTS)
    assert "<td>arpc 4 (1 of 2)</td>" in html
    assert "Rows of fewer pictures say so" in html
    # A table of one picture has all that it has.
    assert html.count("1 of 2)") == 3
    # No empty chart where no row has all of them.
    apart = [replace(step, picture=step.picture[5:]) for step in steps if (step.k == 1) == ("1" in step.picture)]
    assert "<figure>" not in page(apart, [], FACTS)


def test_exact_pictures_have_no_place_on_an_axis_and_are_valid_json() -> None:
    steps = made_up_steps()
    for step in steps:
        if step.k == 4:
            assert step.ours
            step.ours.values["psnr"] = math.inf
            step.peers["webp"].best["psnr"].values["psnr"] = math.inf
    comparisons = compare(steps)
    assert [len(one.points) for one in all_series(comparisons, "psnr", "")] == [3, 4, 3]
    assert "22.00 to 23.00" in bd_rate_table(comparisons, ["psnr"], [])
    ElementTree.fromstring(figure(comparisons, [], ""))
    assert "<td>inf</td>" in page(steps, [made_up_exhibit(steps, "kodim01.png")], FACTS)
    assert "| inf |" in markdown(comparisons, 2, FACTS)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in jsonl(steps).splitlines()]
    assert [row["ours"]["values"]["psnr"] for row in rows[:4]] == [21, 22, 23, None]
    assert "<figure>" not in page([made_up_step("a.png", 4, {"psnr": math.inf}, {})], [], FACTS)


def test_a_metric_brings_its_title(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "beauty", Metric("beauty", "Beauty", True, lambda *_: 1.0))
    steps = [made_up_step("a", k, {"psnr": 20 + k, "beauty": k}, {"jpeg": {"psnr": 19, "beauty": 1}}) for k in (2, 3)]
    assert "Beauty" in markdown(compare(steps), 1, FACTS)
    assert "Beauty" in page(steps, [], FACTS)


def test_marks_differ() -> None:
    assert len({mark_of(peer) for peer in PEERS}) == len(PEERS)


def test_page_of_two_codecs_of_ours_shows_the_other_at_the_same_budget() -> None:
    steps = two_codecs()
    html = page(steps, [made_up_exhibit(steps, "kodim01.png")], FACTS)
    assert "arpc and progic beside JPEG and WebP" in html
    parsed = _Checked()
    parsed.feed(html)
    data = json.loads(parsed.scripts["exhibits"])
    assert data["ours"] == ["arpc", "progic"]
    assert [one["id"] for one in data["codecs"]] == ["original", "arpc", "progic", "jpeg", "webp"]
    shown = data["exhibits"][0]["steps"]
    assert [step["bytes"] for step in shown] == sorted(step["bytes"] for step in shown)
    bytes_of = {step["label"]: {name: file["bytes"] for name, file in step["files"].items()} for step in shown}
    assert bytes_of["2 scales of arpc"] == {"arpc": 200, "progic": 300, "jpeg": 210, "webp": 210}
    assert bytes_of["2 stages of progic"] == {"arpc": 300, "progic": 300, "jpeg": 300}
    assert bytes_of["4 stages of progic"] == {"progic": 600, "jpeg": 600}


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.13, 0.86) == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert ticks(-410, 12) == pytest.approx([-400, -200, 0])
    assert log_ticks(0.008, 0.06) == pytest.approx([0.01, 0.02, 0.05])
    assert log_ticks(0.0008, 60) == pytest.approx([0.001, 0.01, 0.1, 1, 10])


class _Checked(HTMLParser):
    """Holds every element's nesting, the links, and the text of script elements by id."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("src", "href") if name in values]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts[values.get("id") or ""] = ""
            self.script = values.get("id") or ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "path"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self.script] += data


def test_page_parses_and_refers_to_nothing_outside(html: str) -> None:
    parsed = _Checked()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert parsed.links == ["data:,"]
    assert not re.search(r"https?:|//[a-z]+\.|url\(|@import|\bfetch\(|XMLHttpRequest", html)
    assert "default-src 'none'" in html
    assert "not &lt;here&gt;" in html
    assert "arpc beside JPEG and WebP" in html
    for name in re.findall(r'at\("([\w-]+)"\)', html):
        assert name in parsed.ids


def test_page_holds_every_picture_once_in_its_place(html: str) -> None:
    parsed = _Checked()
    parsed.feed(html)
    data = json.loads(parsed.scripts["exhibits"])
    urls = data["pictures"]
    assert len(urls) == len(set(urls)) == 2 * (1 + 3 * 4)
    assert all(html.count(url) == 1 for url in urls)
    used = [file["picture"] for one in data["exhibits"] for step in one["steps"] for file in step["files"].values()]
    assert sorted([*used, *(one["original"] for one in data["exhibits"])]) == list(range(len(urls)))
    assert [one["id"] for one in data["codecs"]] == ["original", "arpc", "jpeg", "webp"]
    third = data["exhibits"][1]["steps"][2]
    assert (third["bytes"], third["label"]) == (300, "3 scales of arpc")
    assert (third["files"]["webp"]["bytes"], third["files"]["webp"]["note"]) == (310, "LPIPS-Alex 0.410, PSNR 24.00")


def test_page_without_pictures_or_without_our_codec() -> None:
    steps = made_up_steps()
    assert 'id="stage"' not in page(steps, [], FACTS)
    targets = [Step(s.picture, s.pixels, "", 0.1 * s.k, s.bytes, None, s.peers) for s in steps]
    html = page(targets, [], Facts(["psnr"]))
    assert "No codec of ours took part" in html
    assert "JPEG and WebP" in html
    alone = page([replace(step, peers={}) for step in steps], [], FACTS)
    assert "No rate could be compared" in alone
    # A column of LPIPS has the mark, so it is explained.
    assert "† marked by --trained-on" in alone


def test_names_cannot_break_out(html: str) -> None:
    name = "</script><script>alert(1)//.png"
    hostile = [Step(name, s.pixels, s.codec, s.k, s.bytes, s.ours, s.peers) for s in made_up_steps()[:4]]
    exhibit = made_up_exhibit(made_up_steps(), "kodim01.png")
    found = page(hostile, [Exhibit(name, 64, 48, exhibit.original, exhibit.files)], FACTS)
    assert found.count("<script") == html.count("<script") == 2


def test_large_pictures_show_their_middle_and_pages_stay_small() -> None:
    image = np.zeros((10, LARGEST + 3, 3), np.uint8)
    image[:, 1] = 255
    assert middle(image).shape == (10, LARGEST, 3)
    assert middle(image)[0, 0, 0] == 255
    exhibit = made_up_exhibit(made_up_steps(), "kodim01.png")
    assert len(fitting([exhibit] * 5, 3 * exhibit.characters())) == 3


def test_csv_gives_the_same_numbers_back() -> None:
    steps = made_up_steps()
    steps[0].peers["webp"].best["psnr"].values["niqe"] = None
    rows = list(csv.DictReader(io.StringIO(steps_csv(steps))))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == 3 * len(steps)
    for step, row in zip(steps, rows[::3], strict=True):
        assert step.ours
        assert (row["picture"], row["ours"], row["codec"], row["niqe"]) == (step.picture, "arpc", "arpc", "")
        assert {name: float(row[name]) for name in step.ours.values} == step.ours.values
    for step, row in zip(steps, rows[2::3], strict=True):
        file = step.peers["webp"].best["psnr"]
        assert (row["codec"], row["best_by"]) == ("webp", "psnr")
        numbers = [float(row[name]) for name in ("k", "wanted", "setting", "scale", "bytes", "psnr")]
        assert numbers == [step.k, step.bytes, file.setting, file.scale, file.bytes, file.values["psnr"]]


def test_figure_stands_alone_and_has_a_chart_for_each_metric() -> None:
    steps = made_up_steps()
    root = ElementTree.fromstring(figure(compare(steps), ["lpips_alex"], "Kodak"))
    space = "{http://www.w3.org/2000/svg}"
    charts = root.findall(f"{space}svg")
    assert len(charts) == 2
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for one in charts:
        assert float(one.get("x", 0)) + float(one.get("width", 0)) <= width
        assert float(one.get("y", 0)) + float(one.get("height", 0)) <= height
    texts = [text.text or "" for text in root.findall(f"{space}text")]
    assert sum("is better" in text for text in texts) == 2
    assert any("†" in text for text in texts)
    assert {"JPEG", "WebP"} <= {text.split(" (")[0] for text in texts}
    assert any("published" in text for text in texts)
    marks = [mark.get("class") for one in charts for mark in one.findall(f"{space}path")]
    assert marks.count("mark ours") == 2 * 4
    styled = (root.findtext(f"{space}style") or "").replace("\n", "")
    assert all(f".{name}{{" in styled or f".{name}." in styled for name in ("mark", "line", "grid", "axis"))


def test_lost_packets_have_a_curve_for_each_way_and_every_number() -> None:
    ways = ("5 stages, no redundancy", "4 stages, redundancy 0.26")
    outcomes = [
        Outcome(loss, way, 1000 + number, {"lpips_alex": 0.4 + loss + number / 10, "psnr": 20 - loss})
        for loss in (0.0, 0.1, 0.5)
        for number, way in enumerate(ways)
    ]
    section = loss_section(outcomes)
    charts = re.findall("<svg class=.chart.*?</svg>", section)
    assert len(charts) == 2
    assert [chart.count('class="mark ours"') for chart in charts] == [3, 3]
    assert [chart.count('class="mark peer"') for chart in charts] == [3, 3]
    # No loss lies left of half of the packets lost, and a better picture above a worse one.
    places = re.findall(r'class="mark ours".*?translate\(([\d.]+) ([\d.]+)\)', charts[0])
    (x0, y0), _, (x2, y2) = ((float(x), float(y)) for x, y in places)
    assert x0 < x2
    assert y0 < y2
    for text in (*ways, "1,001", "0.500", "19.50", "50 % lost"):
        assert text in section
    assert loss_section([]) == ""


def test_lost_packets_without_a_score_leave_a_gap(tmp_path: Path) -> None:
    known = [Outcome(loss, "4 stages, redundancy 0.26", 1000, {"psnr": 20 - loss, "niqe": 5.0}) for loss in (0.0, 0.1)]
    outcomes = [*known, Outcome(0.5, known[0].way, 1000, {"psnr": math.inf, "niqe": math.nan})]
    file = tmp_path / "loss.jsonl"
    file.write_text(outcomes_text(outcomes), "utf-8")
    for line in file.read_text("utf-8").splitlines():
        json.loads(line, parse_constant=pytest.fail)
    outcomes = read_outcomes(file)
    charts = re.findall("<svg class=.chart.*?</svg>", loss_section(outcomes))
    assert [chart.count('class="mark ours"') for chart in charts] == [2, 2]
    assert loss_section([replace(one, values={"niqe": math.nan}) for one in outcomes]).count("<figure>") == 0
