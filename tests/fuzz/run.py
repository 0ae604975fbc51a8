"""`python tests/fuzz/run.py TARGET [libFuzzer options]`: fuzz one parser with atheris, from the format's vectors.

    python tests/fuzz/run.py container -max_total_time=600

A crash is written to the working folder as crash-...; `python tests/fuzz/run.py TARGET FILE` repeats it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["arpc_codec.container", "arpc_codec.imageio", "arpc_codec.packets"]):
    sys.path.insert(0, str(Path(__file__).parent))
    from targets import TARGETS, survive


def main() -> None:
    """Write the seeds to a corpus and start."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        raise SystemExit(f"usage: run.py {'|'.join(TARGETS)} [libFuzzer options]")
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(TARGETS[name][1]()):
            (Path(corpus) / f"{number:04}").write_bytes(seed)
        repeated = any(not word.startswith("-") for word in sys.argv[2:])
        folders = [] if repeated else [corpus]
        atheris.Setup([sys.argv[0], "-max_len=4096", *folders, *sys.argv[2:]], lambda data: survive(name, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
