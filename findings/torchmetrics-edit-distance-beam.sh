#!/usr/bin/env bash
# torchmetrics: EditDistance searches only 25 characters around the diagonal, so a text whose first lines are missing
# gets a multiple of its distance, without a warning; CharErrorRate of the same texts is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchmetrics==1.9.0 torch==2.14.1 rapidfuzz==3.14.6 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import random
from importlib.metadata import version

from rapidfuzz.distance import Levenshtein
from torchmetrics.functional.text import char_error_rate, edit_distance

print("torchmetrics", version("torchmetrics"), "rapidfuzz", version("rapidfuzz"))
rng = random.Random(0)


def distances(prediction, target):
    seen = int(edit_distance([prediction], [target], reduction="sum"))
    right = Levenshtein.distance(prediction, target)
    # the other metric of torchmetrics, from the same two texts
    assert round(char_error_rate([prediction], [target]).item() * len(target)) == right
    return seen, right


# A receipt: 20 lines of 20 digits. The reader loses the first lines, and reads the others without an error.
receipt = "".join(rng.choices("0123456789", k=400))
for lines in (0, 1, 2, 4):
    seen, right = distances(receipt[20 * lines :], receipt)
    backwards, _ = distances(receipt, receipt[20 * lines :])
    print(f"first {lines} of 20 lines missing: {seen}, right {right}; prediction and target exchanged: {backwards}")
    assert right == 20 * lines
    assert seen == right if lines < 2 else seen > 1.5 * right

# A second reader has all lines, but every fourth digit is wrong. It is the worse one.
wrong = [str((int(c) + rng.randint(1, 9)) % 10) if i % 4 == 0 else c for i, c in enumerate(receipt)]
lost, noisy = distances(receipt[80:], receipt), distances("".join(wrong), receipt)
print(f"reader without four lines: {lost[0]}, right {lost[1]}; reader with every fourth digit wrong: {noisy[0]}, "
      f"right {noisy[1]}")
assert lost[1] < noisy[1] and lost[0] > noisy[0]

# Lines that moved: the same digits, with the first ones at the end.
for length, moved in ((60, 10), (100, 12), (100, 25), (200, 25), (400, 50)):
    text = "".join(rng.choices("0123456789", k=length))
    seen, right = distances(text[moved:] + text[:moved], text)
    print(f"{length} digits, the first {moved} moved to the end: {seen}, right {right}")
    assert seen == right if moved < 25 else seen > 1.4 * right
# Seen: 400 digits without the first 80 have a distance of 80, and EditDistance says more than 200, more than for a
# reader with 100 wrong digits. The class is written for the translation edit rate, after sacrebleu, and fills only the
# cells of the table within 25 of the diagonal: a path that leaves this band, as each longer shift does, is not found.
PYTHON
