#!/usr/bin/env bash
# tbparse: a resumed run keeps the steps that it has withdrawn with purge_step; TensorBoard drops them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tbparse==0.0.9 tensorboard==2.21.0 tensorboardX==2.6.5 \
    pandas==3.1.1 setuptools==84.2.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

from tbparse import SummaryReader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

print(*(f"{name} {version(name)}" for name in ("tbparse", "tensorboard", "tensorboardX", "pandas")))
# A run of the steps 0 to 9 stops, and resumes from its checkpoint of step 5 in the same folder. It ends after step 7.
for suffix, steps, options in ((".first", range(10), {}), (".second", range(5, 8), {"purge_step": 5})):
    with SummaryWriter("run", filename_suffix=suffix, **options) as writer:
        for step in steps:
            writer.add_scalar("loss", step + 100 * (suffix == ".second"), step)

accumulator = EventAccumulator("run").Reload()
shown = [(event.step, event.value) for event in accumulator.Scalars("loss")]
print("TensorBoard:", shown)
assert shown == [(step, step) for step in range(5)] + [(5, 105), (6, 106), (7, 107)]

table = SummaryReader("run").scalars
read = list(zip(table["step"], table["value"]))
print("tbparse:", read, "last step", table["step"].max())
assert sorted(read) == sorted([(step, step) for step in range(10)] + [(5, 105), (6, 106), (7, 107)])

pivoted = SummaryReader("run", pivot=True).scalars
print("pivot:", pivoted["loss"].tolist(), pivoted["loss"].dtype)
assert pivoted["loss"].tolist()[4:] == [4, [5, 105], [6, 106], [7, 107], 8, 9]
# Seen: purge_step writes an event into the new file that withdraws all steps from there on, and an accumulator of a
# folder heeds it for the files that it has read before. tbparse reads each file of a folder with an accumulator of its
# own, so there is nothing to withdraw: steps of the lost attempt stand beside the new ones, and after their end. In the
# pivoted table a repeated step is a list in a column of numbers, which is the one sign.
PYTHON
