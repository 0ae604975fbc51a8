"""Several processes that train one network on data of their own, as torchrun starts them; alone, nothing happens here.

Not DistributedDataParallel: it wants one `forward` of one wrapped module, but a step calls encoder, quantizer and
decoder by themselves, and which parameters get a gradient differs from step to step and from rank to rank (random
prefixes). One sum over all gradients after `backward` needs neither, and what no rank has stays missing: the step is
that of one process with all the data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

# Others wait for the first one while it validates, or encodes all the data.
_PATIENCE = timedelta(days=1)


def join() -> None:
    """Join the other processes if torchrun started this one among several; its GPU becomes the current one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    backend = "gloo"
    if torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"]):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_PATIENCE)


def leads() -> bool:
    """Whether this is the process that writes; always, when it is alone."""
    return not dist.is_initialized() or dist.get_rank() == 0


def own(index: int) -> int:
    """A number for step `index` that no other rank and no other step has."""
    return index * dist.get_world_size() + dist.get_rank() if dist.is_initialized() else index


@contextmanager
def in_turn() -> Iterator[bool]:
    """The first rank goes through the body before all others, so that they find what it leaves on disk.

    Whether this is the first. When it fails, torchrun ends the others.
    """
    if not leads():
        dist.barrier()
    yield leads()
    if dist.is_initialized() and leads():
        dist.barrier()


def agreed(value: float) -> float:
    """The first rank's value."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return shared.item()


@torch.no_grad()
def share(tensors: Iterable[Tensor]) -> None:
    """Give everyone the first rank's tensors, in place."""
    if not dist.is_initialized():
        return
    for tensor in tensors:
        whole = tensor.detach().contiguous()
        dist.broadcast(whole, 0)
        tensor.copy_(whole)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace gradients by their mean over ranks; a missing one counts as zero unless all ranks lack it."""
    if not dist.is_initialized():
        return
    learning = [p for p in parameters if p.requires_grad]
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
    there = parts[0].new_tensor([float(p.grad is not None) for p in learning])
    flat = torch.cat([there, *(part.flatten() for part in parts)])
    dist.all_reduce(flat)
    there, *means = flat.div_(dist.get_world_size()).split([len(parts), *(part.numel() for part in parts)])
    for parameter, part, mean, anywhere in zip(learning, parts, means, there.tolist(), strict=True):
        if anywhere:
            # In the gradient's own memory format.
            parameter.grad = part.copy_(mean.view_as(part))
