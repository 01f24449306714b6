"""Keeps freed memory in the process: on the CPU a step spends up to a third of its time on allocating it again.

Also converts out-of-memory errors into UserError.
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
    """Stops the C library from returning freed memory to the operating system. Works with glibc only.

    Activations are some megabytes each, and freed in every backward pass. By default glibc maps such blocks, or trims
    the heap, so that each step pays for new pages, and the system for filling them with zeros. Afterwards the process
    keeps its peak memory. Results do not change.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows: another allocator
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 64 * 2**20)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the machine, or its GPU, had too little memory, or the size is not a valid number of bytes."""
    cpu_error = re.search("can't allocate memory|overflow", str(error), re.IGNORECASE)  # ordinary RuntimeErrors
    return cpu_error is not None or isinstance(error, torch.OutOfMemoryError | MemoryError)


_TRAINING_ADVICE = (
    "lower data.batch_size or model.input_size, raise micro_batches, or take a smaller model or data.reduce"
)


@contextmanager
def one_line_memory_errors(advice: str = _TRAINING_ADVICE) -> Iterator[None]:
    """Raises UserError where the block needs more memory than the machine, or its GPU, has."""
    try:
        yield
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory: {advice}") from None
