"""One thread inside, and afterwards as many as before, however many enter at a time."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Thread

import pytest
import torch

from arpc_codec.codecs.verification import another_machine
from arpc_codec.exact.threads import one_thread


@pytest.fixture
def three_threads() -> Iterator[None]:
    """Torch has three threads, and after the test as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_inside_and_three_after(three_threads: None) -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ValueError, match="inside"), one_thread():
        raise ValueError("inside")
    assert torch.get_num_threads() == 3


def test_one_that_leaves_later_does_not_keep_the_one(three_threads: None) -> None:
    """The second to enter finds one thread, and must not take that for what there was before."""
    both, first_left = Barrier(2), Barrier(2)
    found: list[int] = []

    def other() -> None:
        both.wait()
        with one_thread():
            both.wait()
            first_left.wait()
            found.append(torch.get_num_threads())
        found.append(torch.get_num_threads())

    thread = Thread(target=other)
    thread.start()
    with one_thread():
        both.wait()
        both.wait()
    first_left.wait()
    thread.join()
    assert found[-1] == 3
    assert torch.get_num_threads() == 3


def test_verifying_beside_a_loop_in_one_thread(three_threads: None) -> None:
    """A thread that begins to verify finds the one of the loop, and must not leave that behind."""
    verifying, left = Barrier(2), Barrier(2)
    found: list[int] = []

    def verify() -> None:
        with another_machine():
            verifying.wait()
            left.wait()

    thread = Thread(target=verify)
    with one_thread():
        thread.start()
        verifying.wait()
    left.wait()
    thread.join()
    later = Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [torch.get_num_threads()] == [3]


def test_another_machine_inside_of_one_thread(three_threads: None) -> None:
    with one_thread():
        with another_machine():
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
