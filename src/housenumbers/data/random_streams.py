"""Random streams that are pure functions of their key: equal (seed, epoch, step) lead to equal numbers.

So resuming bit for bit does not need a saved order of the data, and any batch can be drawn again independently.
"""

import numpy as np
import torch

# The first element of a key separates streams for different purposes.
ORDER, AUGMENT, MODEL, MIXUP, TRANSFORMS = range(5)


def seed_for(*key: int) -> int:
    """A seed of 64 well-mixed bits for a key of non-negative integers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def generator_for(*key: int) -> torch.Generator:
    """A CPU generator that depends only on the key."""
    return torch.Generator().manual_seed(seed_for(*key))
