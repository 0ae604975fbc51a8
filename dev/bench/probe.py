"""`python dev/bench/probe.py`: time and peak memory of encoding or decoding, in a process that does only that.

Prints one JSON object. `dev.bench.scale` starts it for each measurement. Linux only.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np

_WARM = 16
_ENOUGH_SECONDS, _ENOUGH_CALLS = 1.0, 9


def _mib(field: str) -> float:
    """VmRSS (now) or VmHWM (at most, since it was reset) of this process, in MiB."""
    # Not getrusage: it counts what the parent had before this program started, and cannot be reset.
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert found
    return int(found.group(1)) / 1024


@click.command()
@click.argument("part", type=click.Choice(["encode", "decode"]))
@click.argument("picture", type=click.Path(exists=True, path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--codec", required=True)
@click.option("--k", type=int, default=0, help="Scales or stages to send (0: all).")
def main(part: str, picture: Path, file: Path, codec: str, k: int) -> None:
    """Encode PICTURE (.npy, RGB uint8 HxWx3) to FILE, or decode FILE, on one thread.

    What happens once is measured apart: `start_s` and `start_mib` are those of imports, the model and a very small
    picture. `seconds` is the least of some calls, `peak_mib` the most memory from then on. Seconds are those of the
    processor, which on one thread are those of the clock, unless the machine is busy.
    """
    import torch

    import arpc_codec

    torch.set_num_threads(1)

    def encode(pixels: np.ndarray) -> bytes:
        return arpc_codec.encode(pixels, codec=codec, scales=k or None)

    arpc_codec.decode_array(encode(np.array(np.load(picture, mmap_mode="r")[:_WARM, :_WARM])))
    row = {"start_s": time.process_time(), "start_mib": _mib("VmRSS")}
    Path("/proc/self/clear_refs").write_text("5")
    call: Callable[[], object]
    if part == "encode":
        call = partial(encode, np.load(picture))
    else:
        call = partial(arpc_codec.decode_array, file.read_bytes())
    times: list[float] = []
    while not times or (sum(times) < _ENOUGH_SECONDS and len(times) < _ENOUGH_CALLS):
        start = time.process_time()
        result = call()
        times.append(time.process_time() - start)
    row |= {"seconds": min(times), "peak_mib": _mib("VmHWM"), "calls": len(times)}
    if isinstance(result, bytes):
        file.write_bytes(result)
    click.echo(json.dumps(row))


if __name__ == "__main__":
    main()
