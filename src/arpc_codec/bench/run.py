"""Encode and measure a folder of pictures: our files, and the peers' files that they are compared with.

Metrics take longer than most codecs, so that only files that a comparison needs are measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arpc_codec.bench.ladder import Ladder
from arpc_codec.bench.ours import Codec
from arpc_codec.bench.peers import Peer
from arpc_codec.bench.store import FileKey, Store, codec_id, picture_id
from arpc_codec.cores import cores
from arpc_codec.imageio import read, suffixes
from arpc_codec.metrics.panel import METRICS, missing_metrics, panel
from arpc_codec.processes import pool

Image_u8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """What to measure. Without codecs of ours, `targets` (bits a pixel) take the place of our files."""

    cache: Path
    codecs: tuple[Codec, ...]
    peers: tuple[Peer, ...]
    targets: tuple[float, ...] = ()
    weights: Path | None = None
    # Whether a size takes part whose smallest file is larger than ours although another size reaches ours.
    floors: bool = True

    def metrics(self) -> list[str]:
        """Names of the metrics that can run here."""
        missing = missing_metrics(self.weights)
        return [name for name in METRICS if name not in missing]

    def deciding(self) -> list[str]:
        """The metrics by which each peer's best size is chosen, the first one for all other columns.

        Both LPIPS; without their weights PSNR.
        """
        return [name for name in self.metrics() if name.startswith("lpips")] or ["psnr"]

    def files(self, step: Step) -> Iterator[tuple[Codec | Peer, Measured]]:
        """The files of a step that have all metrics: ours, then each peer's main one."""
        for codec in self.codecs:
            if codec.name == step.codec and step.ours is not None:
                yield codec, step.ours
        for peer in self.peers:
            if (main := step.peers[peer.name].main) is not None:
                yield peer, main


@dataclass(frozen=True)
class Measured:
    """One file and what its decoded picture scores (None: cannot be judged at this size)."""

    setting: float
    scale: float
    bytes: int
    values: dict[str, float | None]


@dataclass(frozen=True)
class PeerFiles:
    """A peer beside one of our files: its smallest file, and its best one by each deciding metric."""

    smallest: int
    best: dict[str, Measured] = field(default_factory=dict)

    @property
    def main(self) -> Measured | None:
        """The best one by the first deciding metric, which has all metrics; None when every file is too small."""
        return next(iter(self.best.values()), None)


@dataclass(frozen=True)
class Step:
    """One picture at one k of one codec of ours, or at one target size: ours and the peers'.

    `codec` is "" at a target size, whose `k` is in bits a pixel.
    """

    picture: str
    pixels: int
    codec: str
    k: float
    bytes: int
    ours: Measured | None
    peers: dict[str, PeerFiles]


class Bench:
    """Encodes and measures files of one picture, through its store."""

    def __init__(self, plan: Plan, image: Image_u8) -> None:
        """image: RGB uint8 HxWx3."""
        self.plan = plan
        self.image = image
        self.store = Store(plan.cache, picture_id(image))

    def file(self, coder: Codec | Peer, setting: float, scale: float) -> tuple[FileKey, bytes]:
        """One file of the picture and what it is kept under; the setting of our codecs is k."""
        name = coder.name if isinstance(coder, Peer) else coder.codec
        key = FileKey(codec_id(name, coder.version()), setting, scale)
        if isinstance(coder, Peer):
            return key, self.store.file(key, lambda: coder.encode(self.image, setting, scale))
        return key, self.store.file(key, lambda: coder.encode(self.image, int(setting)))

    def decode(self, coder: Codec | Peer, data: bytes) -> Image_u8:
        """The picture of a file, at full size."""
        size = (self.image.shape[1], self.image.shape[0])
        return coder.decode(data, size) if isinstance(coder, Peer) else coder.decode(data)

    def measure(self, coder: Codec | Peer, setting: float, scale: float, names: Sequence[str]) -> Measured:
        """The named metrics of a file; it is decoded only when one of them is not kept yet."""
        key, data = self.file(coder, setting, scale)
        needed = [n for n in names if not self.store.has(key, n, METRICS[n].version)]
        if needed:
            scores = panel(self.image, self.decode(coder, data), names=needed, weights=self.plan.weights)
            for name, value in scores.items():
                self.store.keep(key, name, METRICS[name].version, value)
        values = {n: self.store.value(key, n, METRICS[n].version) for n in names}
        return Measured(setting, scale, len(data), values)

    def ours(self, codec: Codec, k: int) -> Measured:
        """Our file with k steps, every metric."""
        return self.measure(codec, k, 1.0, self.plan.metrics())

    def peer(self, peer: Peer, sizes: Sequence[int]) -> dict[int, PeerFiles]:
        """For each wanted size in bytes: the peer's files that are compared with a file of that size."""
        settings = peer.settings()

        def size_of(scale: float) -> Ladder:
            return Ladder(len(settings), lambda index: len(self.file(peer, settings[index], scale)[1]))

        height, width = self.image.shape[:2]
        ladders = {scale: size_of(scale) for scale in peer.scales((width, height))}
        deciding = self.plan.deciding()
        found: dict[int, PeerFiles] = {}
        smallest = min(ladder.smallest() for ladder in ladders.values())
        for wanted in sorted(set(sizes)):
            rivals: list[Measured] = []
            for scale, ladder in ladders.items():
                if not self.plan.floors and ladder.smallest() > max(wanted, smallest):
                    continue
                index = ladder.reach(wanted)
                if index is not None:
                    rivals.append(self.measure(peer, settings[index], scale, deciding))
            best: dict[str, Measured] = {}
            for name in deciding if rivals else ():
                rival = min(rivals, key=lambda rival: badness(name, rival.values[name]))
                main = name == deciding[0]
                best[name] = self.measure(peer, rival.setting, rival.scale, self.plan.metrics()) if main else rival
            found[wanted] = PeerFiles(smallest, best)
        return found


def badness(metric: str, value: float | None) -> float:
    """Orders values of a metric from the best to the worst."""
    if value is None:
        return float("inf")
    return -value if METRICS[metric].higher_is_better else value


def pictures(folder: Path, exact: bool = False) -> list[Path]:
    """The picture files of a folder, by name; exact: as in `imageio.suffixes`."""
    known = suffixes(exact)
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in known)


def read_rgb(path: Path) -> Image_u8:
    """A picture's pixels as `arpc encode` codes them, RGB uint8 HxWx3. Raises as `imageio.read`."""
    return read(path).pixels


def measure_picture(plan: Plan, path: Path) -> list[Step]:
    """Every k of one picture by each of our codecs, beside every peer."""
    image = read_rgb(path)
    bench = Bench(plan, image)
    pixels = image.shape[0] * image.shape[1]
    steps = [Step(path.name, pixels, "", bpp, max(1, round(bpp * pixels / 8)), None, {}) for bpp in plan.targets]
    for codec in plan.codecs:
        for k in codec.ks(image):
            measured = bench.ours(codec, k)
            steps.append(Step(path.name, pixels, codec.name, k, measured.bytes, measured, {}))
    sizes = [step.bytes for step in steps]
    peers = {peer.name: bench.peer(peer, sizes) for peer in plan.peers}
    return [replace(step, peers={name: files[step.bytes] for name, files in peers.items()}) for step in steps]


def _start_worker(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)


def measure_folder(plan: Plan, paths: Sequence[Path], jobs: int = 1) -> Iterator[list[Step]]:
    """Steps of each picture as it is done, `jobs` pictures at a time (the order is not the folder's)."""
    plan.cache.mkdir(parents=True, exist_ok=True)
    if jobs == 1:
        for path in paths:
            yield measure_picture(plan, path)
        return
    threads = max(1, cores() // jobs)
    with pool(jobs, _start_worker, (threads,)) as workers:
        try:
            for done in as_completed([workers.submit(measure_picture, plan, path) for path in paths]):
                yield done.result()
        finally:
            # After an error nobody waits for pictures that have not begun.
            workers.shutdown(cancel_futures=True)
