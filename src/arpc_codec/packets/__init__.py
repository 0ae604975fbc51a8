"""An .arpc file as packets for links that lose some, and back: formats/packets-v1.md. Needs no model and no torch.

split(data, mtu) -> packets; sort_out(received) -> (good ones, why others are not); join(good ones) -> file, and what it
lacks.
"""

from .join import Joined, join, sort_out
from .packet import LARGEST, Kind, Packet, parse, write
from .split import split

__all__ = ["LARGEST", "Joined", "Kind", "Packet", "join", "parse", "sort_out", "split", "write"]
