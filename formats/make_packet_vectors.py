"""Write the packet test vectors: `python formats/make_packet_vectors.py [DIR]` (default: `formats/vectors/packets`).

A folder per case: the packets, and `joined.arpc`, what they make, with `original.arpc`, what was split. Files come from
the vectors beside them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from arpc_codec.packets import join, sort_out, split

GOOD = Path(__file__).parent / "vectors" / "good"
# Case: (file, mtu, interleave, redundancy, places of the packets that are kept, what it shows).
CASES = {
    "one-packet": ("progic-one-stage", 360, True, 0.0, (0,), "256x256 at one stage: one packet"),
    "five-stages": ("progic", 360, True, 0.0, (4, 0, 2, 3, 1, 2), "all packets, in another order, one twice"),
    "holes": ("progic", 360, True, 0.0, (0, 2, 3, 4), "one of five packets lost: a file with holes"),
    "runs": ("progic", 360, False, 0.0, (0, 1, 3, 4), "the same without interleave"),
    "repeats": ("progic", 120, True, 0.3, (*range(15), 19, 20, 21, 23), "four lost: packets of stage 1 help"),
    "scales": ("all-options", 100, True, 0.0, (0, 1, 2, 4, 5), "codec arpc, a packet lost: scales before it, metadata"),
    "conditioned": ("conditioned", 40, True, 0.0, (0,), "a caption that conditions the prior is in every packet"),
    "lossless": ("hpac-16-alpha", 200, True, 0.5, (1, 2, 3, 4, 5), "lossless, a parity in the place of a packet"),
}


def main(out: Path) -> None:
    """Write all cases below `out`, and `expected.json` with what joining says."""
    expected = {}
    for name, (source, mtu, interleave, redundancy, kept, shows) in CASES.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        data = (GOOD / f"{source}.arpc").read_bytes()
        packets = split(data, mtu, interleave=interleave, redundancy=redundancy)
        sent = [packets[place] for place in kept]
        for number, packet in enumerate(sent):
            (folder / f"{number:02}.packet").write_bytes(packet)
        joined = join(sort_out(sent)[0])
        (folder / "joined.arpc").write_bytes(joined.data)
        (folder / "original.arpc").write_bytes(data)
        expected[name] = {"shows": shows, "split": len(packets), "missing": joined.missing}
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "vectors" / "packets")
