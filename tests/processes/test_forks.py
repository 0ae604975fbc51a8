"""After a fork of a program that used several threads the child works, in one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from arpc_codec.zoo.registry import bundled

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here"),
    pytest.mark.skipif(not bundled("tiny").is_dir(), reason="the weights of the bundled model are missing"),
]
START = """
import multiprocessing, os, threading, warnings
import numpy as np, torch, arpc_codec
warnings.simplefilter("ignore")
torch.set_num_threads(2)
pixels = (np.arange(96 * 128 * 3).reshape(96, 128, 3) % 251).astype(np.uint8)
def coded(options):
    data = arpc_codec.encode(pixels, **options)
    arpc_codec.decode(data)
    return data, torch.get_num_threads()
"""
POOL = """
jobs = [{"codec": "progic"}, {"codec": "progic", "verify": True}, {"scales": 3}, {"scales": 3, "verify": True}]
here = [coded(job)[0] for job in jobs]
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map_async(coded, jobs).get(100)
assert [data for data, _ in found] == here
assert {threads for _, threads in found} == {1}
assert torch.get_num_threads() == 2
"""
# Others are inside the loops that run in one thread, and verify, while this one forks.
BESIDE = """
from arpc_codec.codecs.verification import another_machine
from arpc_codec.exact.threads import one_thread
inside, leave = threading.Barrier(3), threading.Event()
def hold(what):
    with what():
        inside.wait()
        leave.wait()
threads = [threading.Thread(target=hold, args=(what,)) for what in (one_thread, another_machine)]
here = coded({"codec": "progic", "verify": True})
for thread in threads: thread.start()
inside.wait()
child = os.fork()
if child == 0:
    os._exit(coded({"codec": "progic", "verify": True}) != (here[0], 1))
leave.set()
for thread in threads: thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
# While others read pictures and start processes, in as many of the places that are one thread's at a time.
READING = """
import io
from PIL import Image
from arpc_codec.imageio import read
from arpc_codec.imageio.opening import decoding
from arpc_codec.prior.precision import plain_float32
from arpc_codec.processes import _isolated
file = io.BytesIO()
Image.fromarray(pixels).save(file, "PNG")
before = Image.MAX_IMAGE_PIXELS, torch.get_float32_matmul_precision(), list(warnings.filters)
torch.set_float32_matmul_precision("medium")
inside, leave = threading.Barrier(4), threading.Event()
def hold(what):
    with what():
        inside.wait()
        leave.wait()
places = (lambda: decoding(5), lambda: plain_float32(torch.device("cpu")), _isolated)
threads = [threading.Thread(target=hold, args=(place,)) for place in places]
for thread in threads: thread.start()
inside.wait()
assert Image.MAX_IMAGE_PIXELS == 3
child = os.fork()
if child == 0:
    with _isolated(), plain_float32(torch.device("cpu")):
        good = np.array_equal(read(file.getvalue()).pixels, pixels)
    good &= (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == (before[0], before[2])
    os._exit(not good or torch.get_float32_matmul_precision() != "medium")
leave.set()
for thread in threads: thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
# Lossless coding has nothing to do with torch, whose threads stay as the program set them.
LOSSLESS = """
pixels = pixels[:24, :32]
job = {"lossless": True}
here = coded(job)[0]
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(coded, [job] * 2).get(100) == [(here, 2)] * 2
"""
# A child of a child, and a thread of a child.
DEEPER = """
here = coded({"codec": "progic"})[0]
def both():
    found = []
    thread = threading.Thread(target=lambda: found.append(coded({"codec": "progic"})))
    thread.start()
    thread.join()
    return found == [(here, 1)]
child = os.fork()
if child == 0:
    deeper = os.fork()
    if deeper == 0:
        os._exit(not both())
    os._exit(os.waitstatus_to_exitcode(os.waitpid(deeper, 0)[1]) or not both())
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


CODES = {"pool": POOL, "beside": BESIDE, "reading": READING, "lossless": LOSSLESS, "deeper": DEEPER}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_the_child_of_a_fork_works(code: str) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", START + code], env=env, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
