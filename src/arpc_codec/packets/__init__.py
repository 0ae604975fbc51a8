"""An .arpc file as packets for links that lose some, and back: formats/packets-v1.md. Needs no model and no torch.

split(data, mtu) -> packets; sort_out(received) -> (good ones, why others are not); join(good ones) -> file, and what it
lacks.
"""

from arpc_codec.packets.join import Joined, join, sort_out
from arpc_codec.packets.packet import LARGEST, Kind, Packet, parse, write
from arpc_codec.packets.split import split

__all__ = ["LARGEST", "Joined", "Kind", "Packet", "join", "parse", "sort_out", "split", "write"]
