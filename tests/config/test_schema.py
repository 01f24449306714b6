"""What a configuration accepts, and how it refuses the rest: through the command, before torch or any folder."""

from pathlib import Path
from typing import Any

import pytest
from support import Command, composed

from housenumbers.config.overrides import check_arguments, preset_conflicts
from housenumbers.config.validate import load_saved_config
from housenumbers.config.values import config_to_dict
from housenumbers.preflight import check_targets
from housenumbers.runtime.errors import UserError


@pytest.fixture
def no_torch(tmp_path: Path) -> str:
    """A PYTHONPATH on which importing torch fails at once."""
    folder = tmp_path / "no_torch"
    folder.mkdir()
    (folder / "torch.py").write_text("raise RuntimeError('torch was imported')")
    return str(folder)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimzer.lr=0.1", "optimzer"),
        ("optimizer.lr=abc", "optimizer.lr"),
        ("optimizer.lr=0", "optimizer.lr"),
        ("optimizer.lr=nan", "optimizer.lr"),
        ("epochs=1.5", "epochs"),
        ("epochs=0", "epochs"),
        ("model=resnet99", "model=torchvision model.architecture=resnet99"),
        ("model.blocks=[]", "model.blocks"),
        ("model.blocks=[2,0]", "model.blocks"),
        ("model.blocks=[1,1,1,1,1,1]", "at most 5 stages"),
        ("model=null", "must be one of the options densenet121"),
        ("data.reduce=7", "data.reduce"),
        ("data.reduce=0", "data.reduce"),
        ("data.batch_size=0", "data.batch_size"),
        ("data.val_fraction=1", "data.val_fraction"),
        ("data.split=sideways", "data.split"),
        ("data.use_extra=perhaps", "data.use_extra"),
        ("data.split_seed=-2", "data.split_seed"),
        ("scheduler.gamma=2", "scheduler.gamma"),
        ("scheduler.step_size=0", "scheduler.step_size"),
        ("augment.degrees=-1", "augment.degrees"),
        ("augment.invert=2", "augment.invert"),
        ("augment.scale=-1", "augment.scale"),
        ("early_stopping.patience=0", "early_stopping.patience"),
        ("averaging.method=median", "averaging.method"),
        ("averaging.start=1", "averaging.start"),
        ("augment.mixup=-1", "augment.mixup"),
        ("scheduler.warmup_epochs=21", "scheduler.warmup_epochs"),
        ("progressive.sizes=[4]", "progressive.sizes"),
        ("progressive.freeze_after=[0.5,0.2]", "progressive.freeze_after"),
        ("autocast=sometimes", "autocast"),
        ("tta=-1", "tta"),
        ("micro_batches=0", "micro_batches"),
        ("micro_batches=17", "data.batch_size=16"),
        ("+model.classes=5", "model.classes"),
        ("model.pretrained=true", "nobody has published weights of this model"),
        ("hydra.run.dir=", "hydra.run.dir=: must be a folder"),
        ("seed=-1", "seed"),
        ("scheduler.interval=step", "batch, which is what Lightning calls step"),
        ("+optimizer.fused=maybe", "optimizer.fused"),
        ("+optimizer.differentiable=true", "optimizer.differentiable"),
        ("threads=0", "threads"),
        ("device=toaster", "device"),
        ("objective=val_beauty", "objective"),
        ("objective=[]", "objective"),
        ("objective=[val_loss,val_accuracy,val_loss]", "objective"),
        ("objective=null", "objective"),
        ("name=a/b", "name"),
        ("data.root=${nowhere}", "data.root"),
        ("+colour=red", "colour"),
        ("+data.colour=red", "data.colour"),
        ("nonsense", "nonsense"),
        ("epochs=[", "epochs=["),
    ],
)
def test_a_mistake_ends_in_one_line_before_torch(
    command: Command, tmp_path: Path, no_torch: str, override: str, named: str
) -> None:
    done = command("train", override, PYTHONPATH=no_torch)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("group", "option", "named"),
    [
        ("scheduler", {"interval": "step"}, "batch, which is what Lightning calls step"),
        ("scheduler", {"interval": "minute"}, "scheduler.interval=minute: must be epoch or batch"),
        ("scheduler", {"interval": 3}, "scheduler.interval=3"),
        ("scheduler", {"warmup_epochs": "long"}, "scheduler.warmup_epochs"),
        ("scheduler", {"warmup_epochs": -1}, "scheduler.warmup_epochs=-1"),
        ("scheduler", {"warmup_epochs": 100}, "scheduler.warmup_epochs=100"),
        ("scheduler", {"T_max": "long"}, "scheduler.T_max"),
        ("scheduler", {"total_steps": 0}, "scheduler.total_steps=0"),
        ("scheduler", {"max_lr": "high"}, "scheduler.max_lr"),
        ("scheduler", {"_target_": 3}, "scheduler"),
        ("model", {"pretrained": 3}, "model.pretrained=3"),
        ("model", {"freeze": "half"}, "model.freeze=half"),
        ("model", {"freeze": -1}, "model.freeze=-1"),
        ("model", {"input_size": 4}, "model.input_size=4"),
        ("model", {"input_size": "large"}, "model.input_size"),
        ("model", {"name": ["a"]}, "model.name"),
        ("model", {"classes": 9}, "model.classes=9"),
        ("optimizer", {"lr": "high"}, "optimizer.lr"),
        ("optimizer", {"lr": -0.1}, "optimizer.lr=-0.1"),
        ("optimizer", {"weight_decay": -1}, "optimizer.weight_decay=-1"),
        ("optimizer", {"backbone_lr_ratio": 0}, "optimizer.backbone_lr_ratio=0"),
        ("optimizer", {"foreach": "perhaps"}, "optimizer.foreach"),
    ],
)
def test_what_the_code_reads_of_an_option_without_a_schema_is_checked_too(
    group: str, option: dict[str, Any], named: str
) -> None:
    targets = {
        "scheduler": {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.5},
        "model": {"_target_": "housenumbers.models.some.Network", "name": "some"},
        "optimizer": {"_target_": "torch.optim.RMSprop", "lr": 0.1},
    }
    saved = config_to_dict(composed()) | {group: targets[group] | option}
    with pytest.raises(UserError) as caught:
        load_saved_config(saved, "here")
    assert str(caught.value).startswith(group)
    assert named in str(caught.value)


def test_a_saved_configuration_may_not_call_what_is_not_on_the_list() -> None:
    saved = config_to_dict(composed()) | {"optimizer": {"_target_": "os.system", "lr": 0.1}}
    with pytest.raises(UserError, match=r"optimizer: os\.system: a configuration may not call this"):
        check_targets(load_saved_config(saved, "here"))


def test_an_option_without_a_schema_keeps_the_keys_of_its_own() -> None:
    option = {"_target_": "torch.optim.RMSprop", "lr": "0.5", "alpha": 0.9}
    kept = load_saved_config(config_to_dict(composed()) | {"optimizer": option}, "here").optimizer
    assert kept == option | {"lr": 0.5}


def test_a_scheduler_file_of_ones_own_is_checked_before_torch(command: Command, tmp_path: Path, no_torch: str) -> None:
    (tmp_path / "conf" / "scheduler").mkdir(parents=True)
    (tmp_path / "conf" / "scheduler" / "mine.yaml").write_text(
        "_target_: torch.optim.lr_scheduler.ExponentialLR\ngamma: 0.1\ninterval: step\n"
    )
    done = command("train", f"--config-dir={tmp_path / 'conf'}", "scheduler=mine", PYTHONPATH=no_torch)
    assert done.returncode == 2
    assert done.stderr.startswith("error: scheduler.interval=step: must be batch")


def test_a_key_that_an_own_data_file_lacks_is_named_in_full(command: Command, tmp_path: Path, no_torch: str) -> None:
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "mine.yaml").write_text("name: digits\nreduce: 1.0\nbatch_size: 16\n")
    done = command("train", f"--config-dir={tmp_path / 'conf'}", "data=mine", PYTHONPATH=no_torch)
    assert done.returncode == 2
    assert done.stderr == "error: data.val_fraction: must be given: data.val_fraction=VALUE\n"


def test_a_plateau_needs_a_validation_part() -> None:
    with pytest.raises(UserError, match=r"data\.val_fraction"):
        composed("scheduler=plateau", "data.val_fraction=0")
    with pytest.raises(UserError, match=r"scheduler\.interval=batch"):
        composed("scheduler=plateau", "scheduler.interval=batch")


def test_help_needs_no_torch(command: Command, no_torch: str) -> None:
    done = command("train", "--help", PYTHONPATH=no_torch)
    assert done.returncode == 0, done.stderr
    assert "resume=RUN_FOLDER" in done.stdout
    assert "resnet31" in done.stdout


def test_defaults_are_the_studys_best_setting() -> None:
    config = config_to_dict(composed())
    assert config["model"] | {"width": 64, "blocks": [2, 2, 2]} == config["model"]
    assert config["optimizer"] | {"_target_": "torch.optim.Adam", "lr": 0.0013} == config["optimizer"]
    assert config["scheduler"] | {"step_size": 10, "gamma": 0.1, "interval": "epoch"} == config["scheduler"]
    assert config["data"] | {"name": "svhn", "batch_size": 16, "reduce": 1.0, "val_fraction": 0.2} == config["data"]
    assert (config["epochs"], config["seed"], config["early_stopping"]["enabled"]) == (20, 42, False)


def test_split_seed_follows_seed_unless_it_is_set() -> None:
    assert composed("seed=7").data.split_seed == 7
    assert composed("seed=7", "data.split_seed=3").data.split_seed == 3


def test_a_keyword_added_with_plus_reaches_the_optimizer() -> None:
    assert config_to_dict(composed("+optimizer.amsgrad=true"))["optimizer"]["amsgrad"] is True


def test_a_saved_configuration_comes_back_equal() -> None:
    config = composed("experiment=quickstart", "objective=[val_loss,train_seconds]", "data.use_extra=only")
    assert config_to_dict(load_saved_config(config_to_dict(config), "here")) == config_to_dict(config)


def test_the_best_epoch_is_that_of_the_first_objective_that_an_epoch_has() -> None:
    assert composed("objective=[train_seconds,val_loss]").selected_by == "val_loss"
    assert composed("objective=[val_accuracy,val_loss]").selected_by == "val_accuracy"
    assert composed("objective=train_seconds").selected_by == "val_accuracy"
    assert composed("objective=val_loss", "keep_epoch=last").selected_by == "last"


def test_a_saved_configuration_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match="here: not a configuration"):
        load_saved_config({"colour": "red"}, "here")


def test_what_is_no_name_of_an_option_is_said_wherever_words_are_composed() -> None:
    with pytest.raises(UserError, match=r"GROUP=OPTION"):
        composed("data=3")


def test_early_stopping_needs_a_validation_part() -> None:
    with pytest.raises(UserError, match=r"data\.val_fraction"):
        composed("early_stopping.enabled=true", "data.val_fraction=0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["early_stopping=true"], "early_stopping=true: is a section with keys: .*early_stopping.enabled=true"),
        (["early_stopping=yes"], "early_stopping.enabled=yes"),
        (["progressive=true"], "one of progressive.sizes, progressive.freeze_after"),
        (["threads=None"], "threads=None: must be a whole number, or null: write threads=null"),
        (["clip_grad_norm=none"], "write clip_grad_norm=null"),
        (["seed=null"], "seed=null: must be a whole number"),
        (["data.download=maybe"], "data.download=maybe: must be true or false"),
        (["model.blocks=2"], "model.blocks=2: must be a list of whole numbers"),
        (["model.blocks='[1,1]'"], "model.blocks=.* must be a list of whole numbers.*leave out the quotes within"),
        (["model.blocks=[1.5]"], "model.blocks=1.5: must be a list of whole numbers"),
        (["data.reduce=10%"], "data.reduce=10%: must be a number: write 0.1"),
        (["data.reduce=2.5%"], "data.reduce=2.5%: must be a number: write 0.025"),
        (["data.reduce=1.2.3%"], "data.reduce=1.2.3%: must be a number$"),
        (["data.reduce=.%"], "data.reduce=.%: must be a number$"),
        (["model.width=8px"], "model.width=8px: must be a whole number"),
        (["+metrics.loss._target_=mine.loss"], "metrics.loss: is the name of a score that is always recorded"),
        (["+metrics.split._target_=mine.loss"], "metrics.split: is the name of a score that is always recorded"),
        (["+metrics.parameters._target_=mine.loss"], "metrics.parameters: is the name of a score"),
        (["autocast=null"], "autocast=null: must be false, cuda or true"),
        (["data.cache=None"], "data.cache=None: must be a folder, or null"),
        (["model.pretrained=none"], "model.pretrained=none: must be false, true, a file or run:DIR"),
        (["~data"], "data: must be given: data=OPTION"),
        (["~epochs"], "epochs: must be given: epochs=VALUE"),
        (["~tta"], "tta: must be given: tta=VALUE"),
        (["~seed"], "seed: must be given: seed=VALUE"),
        (["~early_stopping"], "early_stopping: must be given: early_stopping=VALUE"),
        (["~epoch"], "epoch: no such key: did you mean epochs\\?"),
        (["~epochs=3"], "~epochs: cannot be left out: give it another value"),
        (["~optimizer.lr"], "optimizer.lr: cannot be left out"),
        (["lr=0.001"], "lr: no such key: did you mean optimizer.lr\\?"),
        (["+lr=0.001"], "lr: no such key: did you mean optimizer.lr\\?"),
        (["learning_rate=1"], "did you mean optimizer.lr\\?"),
        (["batch_size=3"], "did you mean data.batch_size\\?"),
        (["patience=3"], "did you mean early_stopping.patience or scheduler.patience\\?"),
        (["model.lr=3"], "model.lr: no such key: did you mean optimizer.lr\\?"),
        (["optimizer.lrr=3"], "did you mean optimizer.lr\\?"),
        (["Seed=3"], "did you mean seed\\?"),
        (["scheduler=onecycle", "scheduler.gamma=0.5"], "scheduler.gamma: the chosen scheduler has no such key"),
        (["callbacks.mine.fails=1"], "write \\+callbacks.mine"),
        (["callbacks=[1]"], "callbacks"),
        (["+callbacks.mine=3"], "callbacks.mine=3: must be {_target_"),
        (["optimizer.betas.first=3"], "a list is set as a whole"),
        (["model=resnet18"], "model=resnet18: no such option: choose one of .*model.architecture=resnet18"),
        (["optimizer=Adam"], "did you mean adam\\?"),
        (["optimizer.lr=0,001"], "add -m for .*optimizer.lr=0.001"),
        (["progressive.sizes=16,24"], "write progressive.sizes=\\[16,24\\]"),
        (["epochs==3"], "epochs==3: cannot be read"),
    ],
)
def test_a_message_says_what_to_type(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        composed(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.run.dir=''"], "must be a folder"),
        (["-m", "hydra.sweep.dir="], "hydra.sweep.dir=: must be a folder"),
        (["=3"], "=3: has no key: write KEY=VALUE"),
        (["model.blocks=[1,", "1,", "1]"], "a space has cut it: .*'model.blocks=\\[1,1,1\\]'"),
        (["model.blocks=", "[1,1,1]"], "write model.blocks=\\[1,1,1\\]"),
        (["optimizer.lr", "=0.1"], "write optimizer.lr=0.1"),
        (["optimizer.lr", "=", "0.1"], "write optimizer.lr=0.1"),
        (["--lr", "0.1"], "--lr: no such flag: .*optimizer.lr"),
        (["--epochs=3"], "--epochs=3: no such flag: .*epochs=VALUE"),
        (["--resume=RUN"], "write resume=RUN_FOLDER"),
        (["--multirn"], "did you mean --multirun\\?"),
        (["--config-dir"], "--hydra-help"),
        (["resume", "RUN"], "write resume=RUN_FOLDER"),
        (["~hydra/sweeper"], "~hydra/sweeper: cannot be left out: choose another one, hydra/sweeper=OPTION"),
        (["-m", "~hydra/launcher"], "~hydra/launcher: cannot be left out"),
        (["augment=true"], "augment=true: must be one of the options digits, none"),
    ],
)
def test_words_that_hydra_would_misread_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_arguments(words)


def test_words_that_hydra_takes_are_left_alone() -> None:
    check_arguments(
        ["-m", "model.blocks=[1,1]", "--config-dir", "conf", "seed=1,2", "--cfg=job", "experiment=null", "name="]
    )


def test_presets_that_contradict_each_other_are_told() -> None:
    assert preset_conflicts(["experiment=[run2_batch16,run3]", "seed=1"]) == [
        "note: experiment=[run2_batch16,run3]: run2_batch16 and run3 differ in epochs, name: run3 wins"
    ]
    assert preset_conflicts(["experiment=fast", "seed=[1,2]"]) == []
