"""One file out of a run: the run's own probabilities, elsewhere; or no file at all."""

import importlib.util
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import sure, used
from PIL import Image, ImageOps
from support import MODELS, ROOT, Command, composed, environment, run_in
from torch import Tensor
from torch.nn import functional as F

from housenumbers import pretrained
from housenumbers.config.values import config_to_dict
from housenumbers.data import glyphs, render
from housenumbers.data.digits import read_digits
from housenumbers.data.folder import read_image
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.number_image import read_number_image
from housenumbers.data.render_number import render_number
from housenumbers.evaluation.calibration import probabilities
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.metrics.numbers import BLANK
from housenumbers.models.resnet import ResNet
from housenumbers.prediction.export import METADATA_FILE, export
from housenumbers.prediction.export_formats import SUFFIXES
from housenumbers.prediction.predict_files import predict_files
from housenumbers.training.build import build_model
from housenumbers.training.checkpoint import save_checkpoint

onnx = pytest.importorskip("onnx", reason="needs the extra .[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra .[onnx]")

FORMATS = ("onnx", "torch")
SMALL = {  # what is not small by itself, or is told apart by its options
    # resized, to fewer pixels
    "resnet31": ["model.width=4", "model.blocks=[1,1]", "model.input_size=20", "tta=2", "tta_invert=true"],
    "fastnet": ["model.channels=[4,8,8]"],
    "mobilenet_v3_small": ["model.input_size=64"],  # resized, to more
    "torchvision": ["model.architecture=shufflenet_v2_x0_5"],
}
TINY_NET = ("model=resnet31", "model.width=4", "model.blocks=[1]")
QUICK = ("resnet31", "fastnet")


def export_here(*words: str) -> subprocess.CompletedProcess[str]:
    """`python src/export.py WORDS` in this process, which saves seconds, and where tests may have changed something."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", [str(ROOT / "src/export.py"), *words])
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Of each format the file that a copy of the finished run was exported as, and what was printed."""
    home = tmp_path_factory.mktemp("exported")
    run = shutil.copytree(finished, home / "run")
    onnx_done = run_in(home, "export", f"run={run}")
    torch_done = export_here(f"run={run}", "format=torch", f"file={home}/digits.pt2")
    for done in (onnx_done, torch_done):
        assert done.returncode == 0, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"{run}/checkpoints/best.pt: temperature ")
    assert not list(run.glob(".*.tmp"))
    return {"onnx": (run / "model.onnx", onnx_done.stdout), "torch": (home / "digits.pt2", torch_done.stdout)}


def run_file(file: Path) -> Callable[[Tensor], Tensor]:
    if file.suffix == ".pt2":
        return torch.export.load(file).module()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["probabilities"], {"images": images.numpy()})[0])


def own(trained: TrainedModel, images: Tensor) -> Tensor:
    logits, _ = trained.predict(LabeledImages(images, torch.zeros(len(images))))
    return probabilities(logits, trained.temperature)


@pytest.mark.parametrize("form", FORMATS)
def test_the_file_gives_the_runs_own_probabilities_in_batches_of_any_size(
    form: str, exported: dict[str, tuple[Path, str]], finished: Path
) -> None:
    file, printed = exported[form]
    trained = load_trained_model(finished)
    assert trained.temperature != 1
    images = digits()
    run, expected = run_file(file), own(trained, images)
    for size in (1, 2, 97, 360):
        found = torch.cat([run(batch) for batch in images.split(size)])
        assert found.dtype == torch.float32
        assert torch.allclose(found, expected, rtol=0, atol=1e-5)
    told = re.search(r"64 test crops in batches of 1, 2, 7, 54: probabilities differ by at most (\S+)", printed)
    assert told is not None
    assert 0 <= float(told[1]) < 1e-5


@pytest.mark.parametrize("form", FORMATS)
def test_the_printed_lines_run_without_this_project(form: str, exported: dict[str, tuple[Path, str]]) -> None:
    """And, what is in ONNX, without torch; in another folder."""
    _, printed = exported[form]
    snippet = printed[printed.index("import ") :]
    absent = ["housenumbers", "torch"] if form == "onnx" else ["housenumbers", "onnx"]
    images = "numpy.zeros((3, 3, 32, 32), 'uint8')"
    code = f"""import sys
for name in {absent}:
    sys.modules[name] = None  # importing it is then an error
import numpy
images = {images if form == "onnx" else f"__import__('torch').from_numpy({images})"}
{snippet}
print(probabilities.shape, float(probabilities.sum()))"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd="/", env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\(?\[?3, 10\]?\)+ (3\.0|2\.99999)", done.stdout), done.stdout


SIZES = [(32, 32), (1, 1), (9, 7), (31, 33), (1, 200), (500, 60), (97, 301)]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "I", "F"]


def write_images(home: Path) -> list[Path]:
    """A file of each size in each mode, and files that Pillow decodes in a way of their own."""
    noise = {size: Image.effect_noise(size, 120).convert("RGB") for size in SIZES}
    for size, image in noise.items():
        red, green, _ = image.split()
        rotated = image.transpose(Image.Transpose.ROTATE_180).resize(size)
        coloured = Image.merge("RGB", (red, rotated.split()[0], green.point(lambda shade: 255 - shade)))
        deep = np.asarray(coloured.convert("L"), np.uint16) * 200 + 9
        for mode in MODES:
            if mode == "I;16":
                made = Image.fromarray(deep)
            elif mode in ("LA", "RGBA"):
                made = coloured.convert(mode)
                made.putalpha(red)
            else:
                made = coloured.convert(mode)
            made.save(
                home / f"{size[0]}x{size[1]}_{mode.replace(';', '')}.tif",
                "TIFF" if mode in ("CMYK", "F", "I") else "PNG",
            )
    large = noise[500, 60].resize((1500, 900))
    sideways = Image.Exif()
    sideways[0x0112] = 6
    large.save(home / "large.jpg", exif=sideways)
    large.convert("CMYK").save(home / "cmyk.jpg")
    large.convert("P").save(home / "transparent.png", transparency=3)
    large.save(home / "turned.tif", exif=sideways)
    Image.fromarray(deep).save(home / "clear.png", transparency=int(deep[0, 0]))
    odd = np.asarray(noise[9, 7].convert("F")).copy()
    odd[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(odd).save(home / "odd.tif")
    Image.fromarray(np.full_like(odd, np.nan)).save(home / "nothing.tif")
    large.save(home / "frames.gif", save_all=True, append_images=[Image.new("RGB", large.size)])
    return sorted(home.iterdir())


def test_the_documented_lines_do_what_predict_does_for_any_size_and_mode(
    exported: dict[str, tuple[Path, str]], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    files = write_images(tmp_path / "images")
    expected = [each.probabilities for each in predict_files(load_trained_model(finished), files, pytest.fail)]
    for form, name in (("onnx", "digits.onnx"), ("torch", "model.pt2")):
        shutil.copy(exported[form][0], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    use, about = re.findall(r"```python\n(.*?)```", (ROOT / "docs/use.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {"torch": torch}
    for file, probabilities_told in zip(files, expected, strict=True):
        shutil.copy(file, "photo.png")
        exec(use, names)
        assert (names["images"][0] == read_image(file).numpy()).all(), file
        assert names["probabilities"][0] == pytest.approx(probabilities_told, abs=1e-5), file
    exec(about, names)
    found = names["program"].module()(torch.from_numpy(names["images"]))[0]
    assert found.tolist() == pytest.approx(expected[-1], abs=1e-5)
    assert json.loads(names["about"][METADATA_FILE])["run"] == "finished"


def test_the_files_say_what_they_are(exported: dict[str, tuple[Path, str]], finished: Path) -> None:
    content = {METADATA_FILE: ""}
    torch.export.load(exported["torch"][0], extra_files=content)
    metadata = json.loads(content[METADATA_FILE])
    session = onnxruntime.InferenceSession(exported["onnx"][0])
    assert session.get_modelmeta().custom_metadata_map == metadata
    record, trained = json.loads((finished / "run.json").read_text()), load_trained_model(finished)
    assert float(metadata["temperature"]) == trained.temperature
    assert float(metadata["test_accuracy"]) == record["test"]["accuracy"]
    assert float(metadata["validation_accuracy"]) == record["best"]["val_accuracy"]
    assert metadata["git_commit"] == record["git_commit"]
    assert (metadata["run"], metadata["model"], metadata["data"]) == ("finished", "resnet31", "digits")
    assert json.loads(metadata["classes"]) == [str(label) for label in range(10)]
    assert "data_licence" not in metadata
    for form in FORMATS:
        assert all(f"{key} " in exported[form][1] and value in exported[form][1] for key, value in metadata.items())
        assert str(ROOT).encode() not in exported[form][0].read_bytes()


def test_the_onnx_file_is_a_good_one(exported: dict[str, tuple[Path, str]]) -> None:
    model = onnx.load(exported["onnx"][0])
    onnx.checker.check_model(model, full_check=True)
    (images,), (out,) = model.graph.input, model.graph.output
    assert (images.name, images.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
    assert (out.name, out.type.tensor_type.elem_type) == ("probabilities", onnx.TensorProto.FLOAT)
    shapes = [[dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in (images, out)]
    assert shapes == [["N", 3, 32, 32], ["N", 10]]
    assert {node.domain for node in model.graph.node} == {""}  # what every runtime knows


def digits() -> Tensor:
    return read_digits(None, "test")[0].images.contiguous()  # type: ignore[arg-type]


@cache
def colourful() -> Tensor:
    """Rendered digits. Of grey ones fastnet makes three equal channels, and of what rounding does to them features."""
    fonts = glyphs.load_fonts(glyphs.font_files("matplotlib")[:3])
    return torch.from_numpy(render.render_many((0,), 0.5, fonts, range(70))).permute(0, 3, 1, 2).contiguous()


def checkpoint(file: Path, *words: str) -> Path:
    """Of a model that was not trained, but tells images apart."""
    config = composed("data=digits", "threads=1", *words)
    torch.manual_seed(0)
    model = sure(build_model(config.model, torch.device("cpu")), colourful()[:40])
    calibration = {"temperature": 1.7, "n": 40, "error_before": 0.0, "error": 0.0}
    save_checkpoint(file, {"config": config_to_dict(config), "model": model.state_dict(), "calibration": calibration})
    return file


@pytest.mark.parametrize("input_size", [32, 48])  # of the weights that come with the code, of experiment=numbers
@pytest.mark.parametrize("form", FORMATS)
def test_a_reader_of_whole_numbers_takes_images_of_any_width(form: str, input_size: int, tmp_path: Path) -> None:
    file = tmp_path / "reader.pt"
    words = ["data=synthetic_numbers", "data.size=100", "model=number_reader", "model.channels=[4,8,8,8]"]
    config = composed(*words, "threads=1", f"model.input_size={input_size}", "tta_invert=true")
    torch.manual_seed(0)
    model = used(build_model(config.model, torch.device("cpu")), colourful()[:40])
    save_checkpoint(file, {"config": config_to_dict(config), "model": model.state_dict()})
    trained = load_trained_model(file)
    done = export(trained, form, tmp_path / f"reader{SUFFIXES[form]}")
    assert "three widths" in done.checked
    run, wide = run_file(done.file), torch.cat(list(colourful()[:64].view(4, 16, 3, 32, 32)), dim=3)
    for width in (32, 36, 80, 128):
        images = wide[..., :width].contiguous()
        expected = trained.logits(images, all_views=True).softmax(dim=-1)
        assert expected.shape == (16, input_size * width // 32 // 4, 11)
        assert torch.allclose(run(images), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in MODELS],
)
def test_every_option_of_conf_model_can_be_exported(name: str, tmp_path: Path) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra .[lite]")
    trained = load_trained_model(checkpoint(tmp_path / "alone.pt", f"model={name}", *SMALL.get(name, [])))
    images = colourful()[40:]
    expected = own(trained, images)
    assert expected.std(dim=0).mean() > 0.05
    for form in FORMATS:
        made = export(trained, form)
        assert made.file.parent == tmp_path
        assert torch.allclose(run_file(made.file)(images), expected, rtol=0, atol=1e-4)


def test_without_its_data_it_is_checked_on_rendered_digits(tmp_path: Path) -> None:
    words = ("data=svhn", "data.download=true", "data.root=nowhere", "data.cache=nowhere")
    made = export(load_trained_model(checkpoint(tmp_path / "alone.pt", *TINY_NET, *words)), "torch")
    assert "rendered digits" in made.checked
    assert "non-commercial" in made.metadata["data_licence"]
    assert not {"test_accuracy", "validation_accuracy", "git_commit"} & made.metadata.keys()  # it lies alone


def test_a_new_folder_is_named(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "alone.pt", *TINY_NET)
    for place, made in (("new/folder/x.pt2", "new"), ("new/other/x.pt2", "new/other"), ("new/other/x.pt2", None)):
        done = export_here(f"run={file}", "format=torch", f"file={tmp_path / place}")
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines() if line.endswith("this folder was made")]
        assert said == ([] if made is None else [f"{tmp_path / made}: this folder was made"])


def drawing(self: ResNet, images: Tensor) -> Tensor:
    """A network whose author forgot to switch dropout off."""
    features = F.dropout(self.stages(self.stem(self.normalize(images))).mean(dim=(2, 3)), training=True)
    return self.head(features)


def looking(self: ResNet, images: Tensor) -> Tensor:
    """A network whose path depends on its images."""
    features = self.stages(self.stem(self.normalize(images))).mean(dim=(2, 3))
    return self.head(features if features.mean() > 0 else -features)


@pytest.mark.parametrize(
    ("form", "forward", "said"),
    [
        ("onnx", drawing, "model's own by"),
        ("torch", drawing, "model's own by"),
        ("onnx", looking, "cannot be exported"),
    ],
)
def test_what_disagrees_or_cannot_be_exported_is_refused_and_the_earlier_file_stays(
    form: str,
    forward: Callable[[ResNet, Tensor], Tensor],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = checkpoint(tmp_path / "alone.pt", *TINY_NET)
    earlier = tmp_path / f"earlier{SUFFIXES[form]}"
    earlier.write_text("earlier")
    monkeypatch.setattr(ResNet, "forward", forward)
    done = export_here(f"run={file}", f"format={form}", f"file={earlier}")
    assert done.returncode == 2
    assert done.stdout == ""
    _, line = done.stderr.splitlines()  # the first one is about the temperature
    assert line.startswith("error: ")
    assert said in line
    assert sorted(tmp_path.iterdir()) == [file, earlier]
    assert earlier.read_text() == "earlier"


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "onnx" else find(name, *more))
    monkeypatch.delitem(
        sys.modules, "housenumbers.prediction.export_formats"
    )  # to be imported anew, with what is patched
    done = export_here("run=last")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "pip install -e '.[onnx]'" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["format=xml"], "format=xml"),
        (["file=model.pt2"], ".onnx"),
        (["file=file/x.onnx"], "file is not a folder"),
        (["file=file/new/x.onnx"], "file is not a folder"),
        (["format=torch", "file=model.pt"], ".pt2"),
        (["run=nowhere"], "run=nowhere"),
        (["run=last"], "train one"),
        (["device=cuda"], "device"),
    ],
)
def test_mistakes_are_one_line(command: Command, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "file").touch()
    done = command("export", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_the_lines_in_the_documentation_read_numbers_as_the_model_does_at_one_scale(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/numbers.md").read_text(), re.DOTALL)
    (opening,) = re.findall(r"\ndef rgb\(.*?(?=\ndef )", (ROOT / "docs/use.md").read_text(), re.DOTALL)
    done = command("export", "run=pretrained_numbers", "file=numbers.onnx")
    assert done.returncode == 0, done.stderr
    assert "by the lines in docs/numbers.md and docs/use.md" in done.stdout
    fonts = glyphs.load_fonts(glyphs.font_files("matplotlib"), glyphs.MARKS)
    trained = load_trained_model(pretrained.MODELS[pretrained.NUMBERS].file)
    monkeypatch.chdir(tmp_path)
    for width, size in ((80, (200, 80)), (160, (320, 64))):
        image, _ = render_number((0, 2, width), width, 0.2, fonts)
        Image.fromarray(image.permute(1, 2, 0).numpy()).resize(size).save("plate.png")
        found: dict[str, Any] = {"numpy": np, "Image": Image, "ImageOps": ImageOps}
        exec(opening + lines, found)
        expected = read_number_image(Path("plate.png"), 80)[None]
        assert torch.from_numpy(found["images"]).equal(expected)
        paths = trained.logits(expected, all_views=True).argmax(dim=2)[0].tolist()
        assert found["numbers"] == ["".join(str(symbol) for symbol, _ in groupby(paths) if symbol != BLANK)]
    (tmp_path / "images").mkdir()
    Image.effect_noise((4000, 60), 120).save(tmp_path / "images/wide.png")
    for file in write_images(tmp_path / "images"):
        assert (found["number_image"](file) == read_number_image(file, 80).numpy()).all(), file


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_a_reader_of_numbers_takes_images_of_any_width(
    numbers_run: Path, form: str, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / f"reader.{'onnx' if form == 'onnx' else 'pt2'}"
    done = command("export", f"run={numbers_run}", f"format={form}", f"file={file}")
    assert done.returncode == 0, done.stderr
    assert "T, 11]" in done.stdout
    trained = load_trained_model(numbers_run)
    images = torch.randint(0, 256, (3, 3, 32, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    if form == "onnx":
        session = onnxruntime.InferenceSession(str(file))
        found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    else:
        found = torch.export.load(file).module()(images)
    probabilities = trained.logits(images, all_views=True).softmax(dim=2)
    torch.testing.assert_close(found, probabilities, rtol=0, atol=1e-4)
