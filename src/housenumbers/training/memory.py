"""Freed memory stays with the process: on the CPU a step spends up to a third of its time on asking for it again."""

import ctypes

# Parameters of mallopt(3), as numbered in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
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
