# %% [markdown]
# # First steps
#
# Label an image, read a number, train a small network and look at what it did: in a minute, without a download.
# Jupyter opens this file with jupytext; VS Code, PyCharm and Spyder run its cells as they are.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import housenumbers

# %% [markdown]
# ## An image to read
#
# Any photo will do. Here is one that is drawn: a number on a wall.

# %%
photo = Image.new("RGB", (220, 120), (120, 130, 125))
draw = ImageDraw.Draw(photo)
draw.text((30, 10), "274", fill=(240, 240, 230), font=ImageFont.load_default(size=96))
folder = Path(tempfile.mkdtemp())
photo.save(folder / "photo.png")
plt.figure(figsize=(3, 2))
plt.imshow(photo)
plt.axis("off")
plt.show()

# %% [markdown]
# ## Two models come with the code
#
# They were trained on rendered images alone. `pretrained_numbers` reads whole numbers, `pretrained_digits` says which
# digit a crop shows. Probabilities are calibrated: of answers with 90 %, about 90 % are to be right.

# %%
reader = housenumbers.load_model("pretrained_numbers")
[reading] = reader.read(folder / "photo.png")
print(f"number {reading.number or 'none'}, {reading.confidence:.1%}; its digits: {reading.digits}")

# %%
labeller = housenumbers.load_model("pretrained_digits")
crops = [np.asarray(photo)[10:110, left : left + 60] for left in (28, 82, 136)]
labels = labeller.label(crops)
figure, axes = plt.subplots(2, 3, figsize=(7, 3.6))
for column, (crop, label) in enumerate(zip(crops, labels, strict=True)):
    axes[0, column].imshow(crop)
    axes[0, column].set_title(f"{label.label}, {label.confidence:.0%}")
    axes[0, column].axis("off")
    axes[1, column].bar(range(10), label.probabilities)
    axes[1, column].set(ylim=(0, 1), xticks=range(10))
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Train a network
#
# The words are those of `python src/train.py`. `data=digits` are scikit-learn's 1,797 handwritten digits; with
# `data=svhn` the same command trains on street-view photos.

# %%
run = housenumbers.train(
    ["data=digits", "model=fastnet", "model.channels=[8,16,32]", "epochs=6", "scheduler=none", "threads=1"]
)
print(run)

# %%
history = run.history
epochs = [record["epoch"] for record in history]
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(epochs, [record["train_loss"] for record in history], label="training")
left.plot(epochs, [record["val_loss"] for record in history], label="validation")
left.set(xlabel="epoch", ylabel="cross entropy")
left.legend()
right.plot(epochs, [100 * record["val_accuracy"] for record in history])
right.set(xlabel="epoch", ylabel="validation accuracy, %")
figure.tight_layout()
plt.show()
print(f"test accuracy {run.scores['test']['accuracy']:.1%} of {run.scores['test']['n']}")

# %% [markdown]
# ## What it confuses
#
# The run drew figures itself: the confusion matrix, and its most confident mistakes.

# %%
for name in ("confusion_test", "predictions_test"):
    plt.figure(figsize=(6, 6))
    plt.imshow(Image.open(run.figures[name]))
    plt.axis("off")
    plt.show()

# %% [markdown]
# ## Again, to the bit
#
# The same words give the same weights: compare the hashes.

# %%
again = housenumbers.train(
    ["data=digits", "model=fastnet", "model.channels=[8,16,32]", "epochs=6", "scheduler=none", "threads=1"]
)
print(run.record["weights_sha256"] == again.record["weights_sha256"])
for row in housenumbers.list_runs("data=digits"):
    print(f"{row['test.accuracy']:.2%}  {row['folder']}")
