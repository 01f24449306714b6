"""Random streams that are pure functions of their key: equal (seed, epoch, step), equal numbers, whatever came before.

So nothing about the order of the data has to be saved to resume bit for bit, and any batch can be drawn again alone.
"""

import numpy as np
import torch

# The first word of a key keeps streams for different purposes apart.
ORDER, AUGMENT, MODEL, MIXUP, TRANSFORMS = range(5)


def seed_for(*key: int) -> int:
    """A seed of 64 well-mixed bits for a key of non-negative integers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def generator_for(*key: int) -> torch.Generator:
    """A generator on the CPU that depends on nothing but the key."""
    return torch.Generator().manual_seed(seed_for(*key))
