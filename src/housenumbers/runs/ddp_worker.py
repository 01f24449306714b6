"""A torchrun process of rank 1 or higher: computes its share of each batch and writes no files."""

import logging

from housenumbers.config.schema import TrainConfig
from housenumbers.config.targets import note_failing_target
from housenumbers.data.batches import steps_per_epoch
from housenumbers.data.load import load_splits
from housenumbers.preflight import group_targets
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.memory import disable_malloc_trimming, one_line_memory_errors
from housenumbers.training import distributed
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.reproducibility import seed_everything


def run_ddp_worker() -> None:
    """Takes part in the run of the first process, if that starts one.

    Raises UserError where this machine lacks memory or another requirement of the run, or its data differ.
    """
    logging.getLogger("housenumbers").addHandler(logging.NullHandler())
    with one_line_memory_errors(), distributed.process_group():
        config: TrainConfig | None = distributed.broadcast_object(None)
        if config is None:
            return
        device = distributed.setup_device(config)
        disable_malloc_trimming()
        with note_failing_target(group_targets(config)):
            splits = load_splits(config.data).to(device)
            if distributed.broadcast_object(None) != splits.sha256:
                raise UserError(
                    f"{config.data.root}: not the data that the first process has: give each machine the same"
                )
            seed_everything(config.seed)
            steps = steps_per_epoch(splits.train, config.data.batch_size)
            state = TrainingState.initial(config, steps, device, pretrained=False)
            distributed.broadcast_state(state, device)
            for _ in fit(config, state, splits.stages, splits.validation, on_step=lambda _: None):
                pass
