"""Freed memory stays with the process: on the CPU a step spends up to a third of its time on asking for it again.

And what a user is told where there is too little of it.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from housenumbers.runtime.errors import UserError

# Parameters of mallopt(3), as numbered in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def disable_malloc_trimming() -> None:
    """Tells the C library not to give freed memory back to the operating system, where it is one that listens (glibc).

    Activations are some megabytes each, and freed in every backward pass. By default glibc maps such blocks, or trims
    the heap, so that each step pays for new pages, and the system for filling them with zeros. The process now keeps
    as much as it needed at its peak; nothing that is computed changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows: another allocator
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 64 * 2**20)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the machine, or its GPU, had less memory than was asked for, or the size is no number of bytes at all."""
    of_the_cpu = re.search("can't allocate memory|overflow", str(error), re.IGNORECASE)  # ordinary RuntimeErrors
    return of_the_cpu is not None or isinstance(error, torch.OutOfMemoryError | MemoryError)


@contextmanager
def one_line_memory_errors() -> Iterator[None]:
    """Raises UserError where the machine, or its GPU, has less memory than what runs inside asks for."""
    try:
        yield
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            "out of memory: lower data.batch_size or model.input_size, raise micro_batches, or take a smaller model or "
            "data.reduce"
        ) from None
