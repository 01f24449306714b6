"""Transfer learning: where weights come from, what stays frozen, and features that are computed once."""

import pickle
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from support import NUMBERS, TINY, Command, command_line, composed, environment, only_run, run_in
from torch import Tensor, nn

from housenumbers import pretrained
from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import eval_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_splits
from housenumbers.metrics.tasks import accuracy_and_loss
from housenumbers.metrics.views import predict_logits
from housenumbers.models.fastnet import FastNet
from housenumbers.models.number_reader import NumberReader
from housenumbers.models.torchvision_classifier import TorchvisionClassifier
from housenumbers.preflight import check_before_run
from housenumbers.runs.run import run
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.build import build_model, build_optimizer, build_scheduler
from housenumbers.training.checkpoint import load_checkpoint
from housenumbers.training.loop import TrainingState, fit, initialize_from_data
from housenumbers.training.progressive import check_progressive
from housenumbers.training.schedules import step_scheduler
from housenumbers.training.transfer import cache_frozen_features, freeze, load_pretrained

CPU = torch.device("cpu")
SHUFFLENET = ("model=torchvision", "model.architecture=shufflenet_v2_x0_5", "epochs=2", "augment=none")


def labeled_images(count: int = 24) -> LabeledImages:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return LabeledImages(images, torch.arange(count) % 10)


def fitted(config: TrainConfig, state: TrainingState, data: LabeledImages) -> None:
    for _ in fit(config, state, [data], data, lambda _: None):
        pass


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.fixture
def imagenet_like(tmp_path: Path) -> Path:
    """A file as torchvision publishes them: the plain state dict of a network with 1,000 classes."""
    torch.manual_seed(1)
    file = tmp_path / "shufflenet.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5(num_classes=1000).state_dict(), file)
    return file


@pytest.mark.slow
def test_a_run_begins_with_the_best_weights_of_another_and_needs_it_no_more(command: Command, tmp_path: Path) -> None:
    done = command("train", *TINY, "epochs=1", "hydra.run.dir=first")
    assert done.returncode == 0, done.stderr
    config = composed(*TINY, f"model.pretrained=run:{tmp_path}/first")
    model = TrainingState.initial(config, 1, CPU).model
    assert not changed(load_checkpoint(tmp_path / "first/checkpoints/best.pt")["model"], model)

    done = command("train", *TINY, "epochs=1", "hydra.run.dir=second", "model.pretrained=run:first")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "first")
    assert command("evaluate", "run=second").returncode == 0
    assert command("train", *TINY, "epochs=1", "hydra.run.dir=first", "seed=7").returncode == 0
    again = command("train", "repeat=second")
    assert "need not be equal: different pretrained weights" in again.stdout, again.stdout
    shutil.rmtree(tmp_path / "first")
    gone = command("train", *TINY, "epochs=1", "model.pretrained=run:first")
    assert gone.returncode == 2
    assert "first/checkpoints/best.pt: no such checkpoint" in gone.stderr


@pytest.mark.slow
def test_a_killed_run_goes_on_though_the_weights_that_it_began_with_are_gone(command: Command, tmp_path: Path) -> None:
    assert command("train", *TINY, "epochs=1", "hydra.run.dir=first").returncode == 0
    words = [*TINY, "data.reduce=1", "epochs=12", "hydra.run.dir=second", "model.pretrained=run:first"]
    process = subprocess.Popen(
        command_line("train", *words), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL
    )
    while not (tmp_path / "second/metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    shutil.rmtree(tmp_path / "first")
    done = command("train", "resume=second")
    assert done.returncode == 0, done.stderr
    assert "going on after epoch" in done.stdout


@pytest.mark.parametrize(
    ("model", "name"),
    [(NumberReader(), "numbers"), (FastNet(channels=(32, 64, 104), convolutions=(2, 3, 2)), "digits")],
    ids=["numbers", "digits"],
)
def test_the_published_weights_are_those_that_come_with_the_code(model: Any, name: str) -> None:
    load_pretrained(model, True)
    expected = load_checkpoint(pretrained.MODELS[f"pretrained_{name}"].file)["model"]
    assert all(torch.equal(value, expected[key].float()) for key, value in model.state_dict().items() if value.ndim > 1)


def test_other_channels_than_those_of_the_weights_are_one_line_with_the_remedy() -> None:
    with pytest.raises(
        UserError, match=r"^model\.pretrained=true: of another model: .*the options of model, that it was"
    ):
        load_pretrained(FastNet(), True)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.activation=relu", r"was trained with model\.activation=gelu, not relu: set model\.activation=gelu, or"),
        ("model.convolutions=[1,1,1]", r"was trained with model\.convolutions=\[2,3,2\], not \[1,1,1\]: set "),
    ],
)
def test_other_options_than_those_of_the_weights_are_refused_whatever_their_source(
    word: str, said: str, tmp_path: Path
) -> None:
    best = tmp_path / "run" / "checkpoints" / "best.pt"
    best.parent.mkdir(parents=True)
    shutil.copyfile(pretrained.MODELS[pretrained.DIGITS].file, best)
    (tmp_path / "file.pt").hardlink_to(best)
    words = ("model=fastnet", "model.channels=[32,64,104]", "model.convolutions=[2,3,2]")
    for source in ("true", f"run:{tmp_path / 'run'}", str(tmp_path / "file.pt")):
        with pytest.raises(UserError, match=rf"^model\.pretrained={source}: {said}"):
            TrainingState.initial(composed(*words, word, f"model.pretrained={source}"), 1, CPU)
        for other in ("model.input_size=16", "model.freeze=true", "name=mine"):
            assert TrainingState.initial(composed(*words, other, f"model.pretrained={source}"), 1, CPU)


def test_options_of_a_custom_model_may_differ(tmp_path: Path) -> None:
    model = FastNet(channels=(8, 16), convolutions=(1, 1))
    option = {"_target_": "mymodels.Net", "dropout": 0.1}
    torch.save({"format": 1, "config": {"model": option}, "model": model.state_dict()}, tmp_path / "mine.pt")
    assert load_pretrained(model, str(tmp_path / "mine.pt"), option | {"dropout": 0.5})


def test_weights_of_a_larger_network_are_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet34(num_classes=10).state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(UserError, match=r"of a larger model: this one has no network\.layer1\.2\.bn1\.bias: choose"):
        load_pretrained(TorchvisionClassifier("resnet18"), str(tmp_path / "resnet34.pth"))


def test_the_auxiliary_heads_of_a_published_network_are_left_out(tmp_path: Path) -> None:
    with torch.device("cpu"):
        network = torchvision.models.googlenet(num_classes=1000, init_weights=False)
    torch.save(network.state_dict(), tmp_path / "googlenet.pth")
    model = TorchvisionClassifier("googlenet")
    load_pretrained(model, str(tmp_path / "googlenet.pth"))
    name = "inception3a.branch1.conv.weight"
    assert torch.equal(model.network.get_parameter(name), network.get_parameter(name))


def test_published_weights_with_a_changed_byte_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = bytearray(pretrained.MODELS[pretrained.NUMBERS].file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "numbers.pt").write_bytes(damaged)
    monkeypatch.setitem(
        pretrained.MODELS, pretrained.NUMBERS, pretrained.Pretrained(tmp_path / "numbers.pt", "numbers")
    )
    with pytest.raises(UserError, match=r"numbers\.pt: damaged: its SHA-256"):
        load_pretrained(NumberReader(), True)


def test_a_published_network_gets_a_new_head(imagenet_like: Path) -> None:
    torch.manual_seed(0)
    model = TorchvisionClassifier("shufflenet_v2_x0_5")
    before = copied(model)
    load_pretrained(model, str(imagenet_like))
    published = torch.load(imagenet_like, weights_only=True)
    kept = {name for name, value in before.items() if torch.equal(value, model.state_dict()[name])}
    assert {"network.fc.weight", "network.fc.bias"} <= kept
    for name, value in published.items():
        if not name.startswith("fc."):
            assert torch.equal(model.state_dict()[f"network.{name}"], value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: torchvision.models.mnasnet0_5().state_dict(), "of another model"),
        (lambda: {"format": 1, "config": {}, "model": {"colour": torch.zeros(1)}}, "of another model"),
        (lambda: [1, 2], "not a checkpoint"),
    ],
)
def test_weights_of_another_model_are_one_line(tmp_path: Path, content: Any, said: str) -> None:
    torch.save(content(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=said):
        load_pretrained(TorchvisionClassifier("shufflenet_v2_x0_5"), str(tmp_path / "other.pth"))


def test_weights_with_a_changed_byte_are_refused(imagenet_like: Path) -> None:
    whole = bytearray(imagenet_like.read_bytes())
    whole[len(whole) // 2] ^= 1
    imagenet_like.write_bytes(whole)
    with pytest.raises(UserError, match="checksums do not fit"):
        load_pretrained(TorchvisionClassifier("shufflenet_v2_x0_5"), str(imagenet_like))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"fc.weight": Bomb()}))
    with pytest.raises(UserError, match="refused"):
        load_pretrained(TorchvisionClassifier("shufflenet_v2_x0_5"), str(tmp_path / "bomb.pth"))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_are_one_line_that_says_where_to_put_them(tmp_path: Path) -> None:
    offline = {"https_proxy": "http://127.0.0.1:1", "TORCH_HOME": str(tmp_path / "torch")}
    words = ("data=digits", "epochs=1", "model=resnet50", "model.pretrained=true")
    done = run_in(tmp_path, "train", *words, **offline)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    place = tmp_path / "torch/hub/checkpoints/resnet50-11ad3fa6.pth"
    assert f"put it at {place}" in line
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"not what was published")
    damaged = run_in(tmp_path, "train", *words, **offline)
    assert damaged.returncode == 2
    assert "damaged: delete it" in damaged.stderr


@pytest.mark.parametrize("augment", ["none", "rotation"])
@pytest.mark.parametrize(
    ("words", "head"),
    [(SHUFFLENET, {"network.fc.weight", "network.fc.bias"}), (("model=fastnet", "epochs=2"), {"head.weight"})],
)
def test_a_frozen_backbone_stays_as_it_is_statistics_included(
    words: tuple[str, ...], head: set[str], augment: str
) -> None:
    config = composed(*words, "model.freeze=true", "data.batch_size=8", f"augment={augment}")
    state = TrainingState.initial(config, 3, CPU)
    initialize_from_data(state.model, labeled_images())
    before = copied(state.model)
    fitted(config, state, labeled_images())
    assert changed(before, state.model) == head
    whole = accuracy_and_loss(*predict_logits(state.model, [tuple(labeled_images())]))
    assert state.history[-1]["val_accuracy"] == whole[0]
    assert state.history[-1]["val_loss"] == pytest.approx(whole[1], rel=1e-4)


@pytest.mark.parametrize(("augment", "passes"), [("none", 2), ("rotation", 2 * (3 + 1))])
def test_features_are_computed_once_where_nothing_is_augmented(augment: str, passes: int) -> None:
    """Passes through the backbone: each part once, or in each of two epochs three batches and one of validation."""
    config = composed(*SHUFFLENET, "model.freeze=true", "data.batch_size=8", f"augment={augment}")
    state = TrainingState.initial(config, 3, CPU)
    seen = []
    state.model.get_submodule("network.conv1").register_forward_hook(lambda *_: seen.append(1))
    fitted(config, state, labeled_images())
    assert len(seen) == passes


def test_features_are_not_kept_of_a_model_that_goes_on_behind_its_head() -> None:
    class Doubling(TorchvisionClassifier):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * super().forward(images)

    model = Doubling("shufflenet_v2_x0_5")
    freeze(model, True)
    network, data, _ = cache_frozen_features(
        composed("augment=none", "model.freeze=true"), model, labeled_images(), None
    )
    assert network is model
    assert torch.equal(data.images, labeled_images().images)


def test_published_densenets_load_though_their_layers_have_older_names(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = torchvision.models.densenet121(num_classes=1000)
    older = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")  # which came after they were trained
    }
    torch.save(older, tmp_path / "densenet121.pth")
    model = TorchvisionClassifier("densenet121")
    load_pretrained(model, str(tmp_path / "densenet121.pth"))
    name = "features.denseblock2.denselayer3.conv2.weight"
    assert torch.equal(model.network.get_parameter(name), network.get_parameter(name))


@pytest.mark.slow
def test_weights_of_a_network_that_asks_for_their_version_load(command: Command, tmp_path: Path) -> None:
    torch.save(torchvision.models.mnasnet0_5(num_classes=1000).state_dict(), tmp_path / "mnasnet.pth")
    words = ("data=digits", "data.reduce=0.1", "epochs=1", "threads=1", "model=torchvision")
    done = command("train", *words, "model.architecture=mnasnet0_5", "model.pretrained=mnasnet.pth")
    assert done.returncode == 0, done.stderr
    assert command("evaluate", "run=last").returncode == 0
    state = TrainingState.initial(composed(*words, "model.architecture=mnasnet0_5"), 1, CPU)
    state.load_state_dict(load_checkpoint(only_run(tmp_path) / "checkpoints/last.pt"))
    assert len(state.history) == 1


def test_the_first_stages_alone_can_be_frozen() -> None:
    config = composed("model.width=4", "model.freeze=2", "epochs=1", "data.batch_size=8")
    state = TrainingState.initial(config, 3, CPU)
    before = copied(state.model)
    fitted(config, state, labeled_images())
    still = before.keys() - changed(before, state.model)
    assert {name for name in still if name.startswith("stages.")} == {
        name for name in before if name.startswith(("stages.0.", "stages.1."))
    }
    assert all(name in still for name in before if name.startswith("stem."))
    with pytest.raises(UserError, match=r"model\.freeze=9: this model has 4 stages"):
        freeze(state.model, 9)


class AllInStages(nn.Module):
    """A model of the user's own whose stages have all of its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Linear(2, 2)

    def freezable_stages(self) -> list[list[nn.Module]]:
        return [[self.layers]]


def test_freezing_all_that_is_trained_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^model\.freeze=1: leaves no parameter to train"):
        freeze(AllInStages(), 1)
    with pytest.raises(UserError, match=r"^progressive\.freeze_after=\[0\.5\]: leaves no parameter to train"):
        check_progressive(composed("progressive.freeze_after=[0.5]"), AllInStages())


@pytest.mark.parametrize(
    ("architecture", "stages"),
    [
        ("resnet50", 5), ("densenet121", 9), ("mobilenet_v3_small", 13), ("efficientnet_b0", 9),
        ("mnasnet0_5", 1), ("vit_b_16", 2), ("vgg11_bn", 8), ("alexnet", 5),
    ],
)  # fmt: skip
def test_stages_of_torchvision_networks(architecture: str, stages: int) -> None:
    with torch.device("meta"):
        model = TorchvisionClassifier(architecture, input_size=224, stem="original")
    found = model.freezable_stages()
    assert len(found) == stages
    freeze(model, stages)
    assert all(parameter.requires_grad for parameter in model.head.parameters())


def test_the_backbone_learns_more_slowly_than_the_head() -> None:
    config = composed("model.width=4", "optimizer.lr=0.01", "optimizer.backbone_lr_ratio=0.1", "scheduler=onecycle")
    model = TrainingState.initial(config, 3, CPU).model
    optimizer = build_optimizer(config.optimizer, model, CPU)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, pytest.approx(0.001)]
    assert len(optimizer.param_groups[0]["params"]) == 2
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    scheduler, _ = build_scheduler(config.scheduler, optimizer, epochs=2, steps_per_epoch=5)
    for _ in range(9):
        head, backbone = (group["lr"] for group in optimizer.param_groups)
        assert backbone == pytest.approx(0.1 * head)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    "option",
    [
        {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "patience": 0, "min_lr": 0.002},
        {
            "_target_": "torch.optim.lr_scheduler.CyclicLR", "base_lr": 0.005, "max_lr": 0.02, "step_size_up": 2,
            "cycle_momentum": False,
        },
        {"_target_": "torch.optim.swa_utils.SWALR", "swa_lr": 0.005, "anneal_epochs": 2},
    ],
)  # fmt: skip
def test_absolute_rates_of_a_scheduler_keep_the_ratio_of_the_backbone(option: dict[str, Any]) -> None:
    config = composed("model.width=4", "optimizer.lr=0.01", "optimizer.backbone_lr_ratio=0.1")
    model = build_model(config.model, CPU)
    optimizer = build_optimizer(config.optimizer, model, CPU)
    scheduler, interval = build_scheduler(option, optimizer, epochs=4, steps_per_epoch=5)
    for _ in range(4):
        optimizer.step()
        step_scheduler(scheduler, *([1.0] if interval == "validation" else []))
        head, backbone = (group["lr"] for group in optimizer.param_groups)
        assert backbone == pytest.approx(0.1 * head)


def test_a_rate_that_torch_takes_for_all_layers_is_refused_before_the_run_has_a_folder() -> None:
    words = ("data=digits", "model.width=4", "scheduler=cosine", "optimizer.backbone_lr_ratio=0.01")
    check_before_run(composed(*words))
    with pytest.raises(UserError, match=r"^scheduler\.eta_min=0\.0005: is one learning rate for all layers"):
        check_before_run(composed(*words, "scheduler.eta_min=0.0005"))
    check_before_run(composed(*words[:-1], "scheduler.eta_min=0.0005"))


@pytest.mark.slow
def test_efficientnet_lite0_has_its_imagenet_weights(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra .[lite]")
    words = ("data=digits", "data.reduce=0.3", "model=efficientnet_lite0", "model.freeze=true", "epochs=8")
    done = command("train", *words, "optimizer.lr=0.003", "scheduler=none", "threads=1")
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path)
    assert load_checkpoint(folder / "checkpoints/best.pt")["record"]["val_accuracy"] > 0.6  # chance is 0.1
    assert command("evaluate", "run=last").returncode == 0
    scratch = command("train", *words, "optimizer.lr=0.003", "scheduler=none", "threads=1", "model.pretrained=false")
    assert scratch.returncode == 0, scratch.stderr


@pytest.mark.slow
def test_a_frozen_net_learns_more_from_the_features_of_all_its_layers(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra .[lite]")
    data = load_splits(composed("data=synthetic", "data.size=1500", f"data.cache={tmp_path}").data)
    assert data.validation is not None
    reached = {}
    for features in ("last", "all"):
        words = (f"model.features={features}", "model.freeze=true", "optimizer.lr=0.001", "scheduler=none", "epochs=10")
        config = composed("model=efficientnet_lite0", *words, "data=synthetic", "data.batch_size=64")
        state = TrainingState.initial(config, 1, CPU)
        backbone = copied(state.model)
        fitted(config, state, data.train)
        assert changed(backbone, state.model) == {"network._fc.weight", "network._fc.bias"}
        reached[features], _ = accuracy_and_loss(*predict_logits(state.model, eval_batches(data.validation)))
    assert state.model.network._fc.in_features == 8512 + 32 * 4  # type: ignore[union-attr]
    assert reached["all"] > reached["last"] + 0.1


@pytest.mark.slow
def test_the_studys_transfer_runs_work_from_a_file(command: Command, tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet50(num_classes=1000).state_dict(), tmp_path / "resnet50.pth")
    words = ("model.pretrained=resnet50.pth", "model.input_size=32", "data=digits", "data.reduce=0.1", "epochs=1")
    done = command("train", "-m", "experiment=glob(run*_tl_*)", *words, "threads=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 3


def test_a_reader_trains_its_head_on_images(tmp_path: Path) -> None:
    """It applies the head to each place of an image, so its inputs do not stand for the image."""
    run(composed(*NUMBERS[:-1], "model.freeze=true"), tmp_path / "run")
    assert RunFolder(tmp_path / "run").record()["status"] == "completed"
