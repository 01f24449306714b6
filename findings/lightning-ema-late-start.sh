#!/usr/bin/env bash
# Lightning: an average of weights that starts late validates, saves and leaves the untrained weights until it starts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lightning==2.6.6 torch==2.14.1
cd "$folder"
cat > late.py <<'PYTHON'
import logging

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

torch.set_num_threads(1)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
print("lightning", lightning.__version__, "torch", torch.__version__)


class Line(lightning.LightningModule):
    """One weight, which begins at 0 and has its best value at 10."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.trained, self.validated = [], []

    def training_step(self, batch, index):
        self.trained.append(self.weight.item())
        return (self.weight - 10) ** 2

    def validation_step(self, batch, index):
        self.validated.append(round(self.weight.item(), 1))
        self.log("loss", (self.weight - 10) ** 2)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(**options):
    """The weight in each validation, before the last step, at the end, and in the best checkpoint, of 5 x 4 steps."""
    model, best = Line(), ModelCheckpoint(dirpath=f"of_{'_'.join(options)}", monitor="loss")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    callbacks = [EMAWeightAveraging(decay=0.5, **options), best]
    trainer = lightning.Trainer(max_epochs=5, num_sanity_val_steps=0, callbacks=callbacks, **quiet)
    trainer.fit(model, DataLoader(torch.zeros(4)), DataLoader(torch.zeros(1)))
    saved = torch.load(best.best_model_path, weights_only=False)["state_dict"]["weight"].item()
    end = round(model.trained[-1], 1), round(model.weight.item(), 1), round(saved, 1)
    print(options, "validated:", model.validated, "last step from, end, best checkpoint:", end)
    return model.validated, end


at_once = train()
assert at_once == ([4.9, 7.8, 9.1, 9.6, 9.8], (9.9, 9.8, 9.8))
assert train(update_starting_at_step=10) == ([0.0, 0.0, 9.2, 9.6, 9.8], (9.9, 9.8, 9.8))
assert train(update_starting_at_step=100) == ([0.0] * 5, (9.9, 0.0, 0.0))
late = {"update_starting_at_epoch": 3}
assert train(**late)[0][:3] == at_once[0][:3]
assert train(update_every_n_steps=0, **late)[0][:4] == [0.0] * 4
# Seen: fit copies the model before the first step, and this copy takes the model's place in each validation, in
# checkpoints and at the end, also if nothing was averaged yet. Metrics of the first epochs are those of the untrained
# weights, and training that ends before the start (here 20 steps of 100) returns 0.0, where it had reached 9.9. An
# epoch to start at does not delay anything by itself: the average begins with the first step, unless
# update_every_n_steps is 0. No warning is given.
PYTHON
"$folder/venv/bin/python" -W ignore late.py
