"""Published numbers: complete, sourced, and checked when they are loaded."""

import json

import pytest

from arpc_codec.bench.published import parse, points, published

GOOD = {"codec": "X", "dataset": "Kodak", "values": {"bpp": 0.1, "psnr": 30}, "source": "a paper"}


def test_every_entry_has_a_source_and_is_there_once() -> None:
    entries = published()
    assert {"MS-ILLM", "HPAC", "CALLIC", "ProGIC", "StableCodec"} <= {entry.codec for entry in entries}
    assert len({repr(entry) for entry in entries}) == len(entries)


def test_some_that_are_known() -> None:
    assert (0.0443, 24.73) in [(bpp, value) for bpp, value, _ in points("psnr", "Kodak")]
    assert len(points("lpips_alex", "Kodak")) == 4
    assert points("niqe", "Kodak") == []
    lossless = {e.codec: e.values["bits_a_sample"] for e in published() if "HPAC" in e.source and e.dataset == "Kodak"}
    assert (lossless["HPAC"], lossless["HPAC-FT"]) == (2.73, 2.52)
    assert {e.against for e in published() if "bd_rate_fid" in e.values} == {"ARPC"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": ""}, "source is missing"),
        ({"source": None}, "source is no text"),
        ({"values": {}}, "values is missing"),
        ({"values": {"beauty": 1}}, "'beauty' is none of"),
        ({"values": {"psnr": "30"}}, "not a number"),
        ({"values": {"psnr": float("nan")}}, "not a number"),
        ({"values": {"bd_rate_fid": 3}}, "against"),
        ({"against": "ARPC"}, "against"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_entries_are_named(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=f"published entry 2: .*{reason}"):
        parse(json.dumps([GOOD, GOOD | change]))
