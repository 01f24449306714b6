"""What a process of torchrun's does that is not the first: its part of each batch. It writes nothing."""

import logging

from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import batch_count
from housenumbers.data.load import load_splits
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.memory import enough_memory, keep_freed_memory
from housenumbers.training import distributed
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.reproducibility import seed_everything


def follow() -> None:
    """Takes part in the run that the first process leads, if it leads one.

    Raises UserError where this machine lacks what the run needs, memory too, or its data are other ones.
    """
    logging.getLogger("housenumbers").addHandler(logging.NullHandler())
    with enough_memory(), distributed.together():
        config: TrainConfig | None = distributed.from_first(None)
        if config is None:
            return
        device = distributed.begin(config)
        keep_freed_memory()
        splits = load_splits(config.data).to(device)
        if distributed.from_first(None) != splits.sha256:
            raise UserError(f"{config.data.root}: not the data that the first process has: give each machine the same")
        seed_everything(config.seed)
        steps = batch_count(splits.train, config.data.batch_size)
        state = TrainingState.fresh(config, steps, device, pretrained=False)
        distributed.share_state(state, device)
        for _ in fit(config, state, splits.stages, splits.validation, on_step=lambda _: None):
            pass
