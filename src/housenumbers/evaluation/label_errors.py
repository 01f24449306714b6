"""Images whose label may be wrong."""

import torch
from torch import Tensor


def likely_label_errors(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The indices `[M]` of images whose label the model contradicts with confidence, and the label it suggests `[M]`.

    Confident learning (Northcutt et al. 2021, arXiv:1911.00068): a class's threshold is its mean probability over the
    images with this label. An image is suspected if, among the classes whose threshold its probability reaches, the
    most probable one is not its label. Images with the least probability for their label (self-confidence) come first.
    The model must not have been trained on these images.
    """
    probabilities = logits.double().softmax(dim=1)
    self_confidence = probabilities.gather(1, labels[:, None]).view(-1)
    classes = probabilities.shape[1]
    # A class without labelled images has a threshold of NaN, which no probability reaches.
    thresholds = labels.bincount(self_confidence, classes) / labels.bincount(minlength=classes)
    confident = torch.where(probabilities >= thresholds, probabilities, -1.0)
    best, suggested = confident.max(dim=1)
    suspects = ((best >= 0) & (suggested != labels)).nonzero().view(-1)
    suspects = suspects[self_confidence[suspects].argsort()]
    return suspects, suggested[suspects]
