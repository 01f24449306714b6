"""Labels that may be wrong."""

import torch

from housenumbers.evaluation.label_errors import likely_label_errors


def logits_of(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).log()


def test_a_confident_contradiction_is_found_and_a_hesitant_one_is_not() -> None:
    logits = logits_of(
        [0.90, 0.05, 0.05], [0.80, 0.10, 0.10], [0.75, 0.20, 0.05],  # labelled 0
        [0.02, 0.96, 0.02],  # labelled 0, surely 1
        [0.10, 0.85, 0.05], [0.20, 0.70, 0.10],  # labelled 1
        [0.45, 0.50, 0.05],  # labelled 0, rather 1, but less surely than the ones are
    )  # fmt: skip
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 0])
    suspects, suggested = likely_label_errors(logits, labels)  # thresholds: 0.584 for 0, 0.775 for 1, none for 2
    assert suspects.tolist() == [3]
    assert suggested.tolist() == [1]


def test_the_least_probable_label_comes_first_and_flipped_labels_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 10, (2000,), generator=generator)
    logits = torch.randn(2000, 10, generator=generator)
    logits[torch.arange(2000), truth] += 9
    labels = truth.clone()
    labels[::100] = (truth[::100] + 3) % 10
    suspects, suggested = likely_label_errors(logits, labels)
    own = logits.softmax(dim=1).gather(1, labels[:, None]).view(-1)[suspects]
    assert (own.diff() >= 0).all()
    flipped = set(range(0, 2000, 100))
    assert len(flipped & set(suspects.tolist())) > 10  # of 20: the others are below their new class's mean
    assert len(set(suspects.tolist()) - flipped) <= 2
    assert (suggested != labels[suspects]).all()
