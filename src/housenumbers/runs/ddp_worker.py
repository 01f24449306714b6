"""What a process of torchrun's does that is not the first: its part of each batch. It writes nothing."""

import logging

from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import steps_per_epoch
from housenumbers.data.load import load_splits
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.memory import disable_malloc_trimming, one_line_memory_errors
from housenumbers.training import distributed
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.reproducibility import seed_everything


def run_ddp_worker() -> None:
    """Takes part in the run that the first process leads, if it leads one.

    Raises UserError where this machine lacks what the run needs, memory too, or its data are other ones.
    """
    logging.getLogger("housenumbers").addHandler(logging.NullHandler())
    with one_line_memory_errors(), distributed.process_group():
        config: TrainConfig | None = distributed.broadcast_object(None)
        if config is None:
            return
        device = distributed.setup_device(config)
        disable_malloc_trimming()
        splits = load_splits(config.data).to(device)
        if distributed.broadcast_object(None) != splits.sha256:
            raise UserError(f"{config.data.root}: not the data that the first process has: give each machine the same")
        seed_everything(config.seed)
        steps = steps_per_epoch(splits.train, config.data.batch_size)
        state = TrainingState.initial(config, steps, device, pretrained=False)
        distributed.broadcast_state(state, device)
        for _ in fit(config, state, splits.stages, splits.validation, on_step=lambda _: None):
            pass
