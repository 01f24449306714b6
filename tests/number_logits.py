"""Made-up numbers, and logits that read as wanted."""

import torch
from torch import Tensor

from housenumbers.metrics.numbers import BLANK


def numbers(*texts: str) -> Tensor:
    return torch.tensor([[int(digit) for digit in text] + [-1] * (6 - len(text)) for text in texts])


def logits_of(*paths: str) -> Tensor:
    """Logits whose most probable path is the text, with - for the blank."""
    symbols = torch.tensor([[BLANK if symbol == "-" else int(symbol) for symbol in path] for path in paths])
    return 4 * torch.nn.functional.one_hot(symbols, 11).float()
