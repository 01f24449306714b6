# %% [markdown]
# # A study of the learning rate
#
# Which learning rate is best, and is the difference more than luck? Six rates, three seeds each, on scikit-learn's
# digits: one to two minutes. Each training is a run folder under `outputs/`, so nothing is lost.

# %%
import statistics

import matplotlib.pyplot as plt

import housenumbers

RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1)
SEEDS = (1, 2, 3)
COMMON = ["data=digits", "data.reduce=0.5", "model.width=8", "model.blocks=[1,1,1]", "epochs=4", "threads=1"]

# %% [markdown]
# ## Train
#
# `scheduler=none` keeps the rate constant. Validation crops decide; the test part is not looked at.

# %%
runs = {
    (rate, seed): housenumbers.train([*COMMON, "name=rates", "scheduler=none", f"optimizer.lr={rate}", f"seed={seed}"])
    for rate in RATES
    for seed in SEEDS
}

# %% [markdown]
# ## Mean and spread
#
# One seed would have answered a different question: how lucky this seed is.


# %%
def accuracies(rate: float) -> list[float]:
    return [100 * runs[rate, seed].scores["validation"]["val_accuracy"] for seed in SEEDS]


means = [statistics.mean(accuracies(rate)) for rate in RATES]
deviations = [statistics.stdev(accuracies(rate)) for rate in RATES]
figure, axes = plt.subplots(figsize=(6, 3.5))
axes.errorbar(RATES, means, deviations, marker="o", capsize=3, label="mean and standard deviation")
for rate in RATES:
    axes.plot([rate] * len(SEEDS), accuracies(rate), "k.", alpha=0.4)
axes.set(xscale="log", xlabel="learning rate", ylabel="best validation accuracy, %")
axes.legend(loc="lower center")
figure.tight_layout()
plt.show()
for rate, mean, deviation in zip(RATES, means, deviations, strict=True):
    print(f"{rate:<8g}{mean:6.2f} ± {deviation:.2f} %")

# %% [markdown]
# ## Curves
#
# Too small a rate has not arrived after these epochs; too large a one jumps about.

# %%
figure, axes = plt.subplots(figsize=(6, 3.5))
for rate in RATES:
    history = runs[rate, SEEDS[0]].history
    axes.plot([record["epoch"] for record in history], [record["train_loss"] for record in history], label=f"{rate:g}")
axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
axes.legend(title="learning rate")
figure.tight_layout()
plt.show()

# %% [markdown]
# ## StepLR
#
# `scheduler=step` multiplies the rate by `gamma` every `step_size` epochs. Does a large rate become usable that way?

# %%
large = RATES[means.index(max(means))] * 3
words = [*COMMON, "name=steps", f"optimizer.lr={large}", "scheduler=step", "scheduler.step_size=2"]
for gamma in (1.0, 0.1):
    found = [
        100
        * housenumbers.train([*words, f"scheduler.gamma={gamma}", f"seed={seed}"]).scores["validation"]["val_accuracy"]
        for seed in SEEDS
    ]
    print(f"gamma {gamma}: {statistics.mean(found):.2f} ± {statistics.stdev(found):.2f} %")

# %% [markdown]
# ## The table of runs
#
# With pandas, `pandas.DataFrame(housenumbers.list_runs())` is the same as a table to sort and plot.

# %%
for row in housenumbers.list_runs("name=rates")[:5]:
    print(f"{row['best.val_accuracy']:.2%}  lr {row['config.optimizer.lr']:<8g} seed {row['seed']}  {row['folder']}")
