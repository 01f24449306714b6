"""What a net looks at: how much worse it does with a square of the picture covered."""

import torch
from torch import Tensor, nn

_WINDOW, _STRIDE = 8, 4  # of a picture's 32nd parts


@torch.inference_mode()
def occlusion(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """How much the log-probability of `labels` falls where a square is covered, and the least probability then left.

    Takes pictures, uint8 `[N, 3, H, W]`; gives maps `[N, H, W]` in nats, each pixel's the mean over the squares, a
    quarter of the picture wide, that cover it, and probabilities `[N]`. The cover has the picture's mean colour.
    Zeiler and Fergus 2014 (arXiv:1311.2901). It asks for nothing but outputs, so it serves any architecture.
    """
    model.eval()
    height, width = images.shape[2:]
    pixels = images.float()
    cover = pixels.mean(dim=(2, 3), keepdim=True)
    whole = _log_probability(model, pixels, labels)
    total, times, least = torch.zeros_like(pixels[:, 0]), torch.zeros_like(pixels[0, 0]), whole.clone()
    for top in range(0, 33 - _WINDOW, _STRIDE):
        for left in range(0, 33 - _WINDOW, _STRIDE):
            rows = slice(top * height // 32, (top + _WINDOW) * height // 32)
            columns = slice(left * width // 32, (left + _WINDOW) * width // 32)
            covered = pixels.clone()
            covered[:, :, rows, columns] = cover
            left_over = _log_probability(model, covered, labels)
            total[:, rows, columns] += (whole - left_over)[:, None, None]
            times[rows, columns] += 1
            least = torch.minimum(least, left_over)
    return (total / times).cpu(), least.exp().cpu()


def highlighted(picture: Tensor, importance: Tensor) -> Tensor:
    """The picture in grey, and over it orange, the more the greater the importance `[H, W]`, which is scaled to 1.

    Takes and gives uint8 `[3, H, W]`.
    """
    weight = 0.75 * (importance / importance.max().clamp(min=1e-6)).clamp(min=0)
    grey = picture.float().mean(dim=0, keepdim=True).expand(3, -1, -1)
    orange = torch.tensor([213.0, 94.0, 0.0]).view(3, 1, 1)
    return ((1 - weight) * grey + weight * orange).round().to(torch.uint8)


def _log_probability(model: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    logits = model(pixels.contiguous(memory_format=torch.channels_last)).float()
    return logits.log_softmax(dim=1).gather(1, labels[:, None]).view(-1)
