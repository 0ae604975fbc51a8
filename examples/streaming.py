"""A picture over a socket: shown after the first scale, better with each that arrives."""

import socket
import threading

import numpy as np
import skimage.data
from PIL import Image

import arpc_codec
from arpc_codec.metrics.psnr import psnr

photo = Image.fromarray(skimage.data.coffee()).resize((192, 128))
data = arpc_codec.encode(photo)


def send(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        for first in range(0, len(data), 64):
            connection.sendall(data[first : first + 64])


with socket.create_server(("127.0.0.1", 0)) as server:
    threading.Thread(target=send, args=(server,), daemon=True).start()
    decoder, received, qualities = arpc_codec.Decoder(), 0, []
    with socket.create_connection(server.getsockname()) as link:
        while piece := link.recv(64):
            received += len(piece)
            picture = decoder.feed(piece)
            if picture is not None:
                qualities.append(psnr(np.asarray(photo), np.asarray(picture)))
                print(f"{received:5} bytes, {decoder.scales:2} scales: {qualities[-1]:.2f} dB")
    decoder.close()
assert received == len(data)
assert qualities[-1] == max(qualities)
