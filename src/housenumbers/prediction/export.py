"""Exports a trained model, including pre-processing, to a file for other programs, and checks the file."""

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from tqdm import tqdm

import housenumbers
from housenumbers.config.values import option_dict
from housenumbers.data import glyphs, render, scene
from housenumbers.data.load import load_test
from housenumbers.evaluation.calibration import probabilities
from housenumbers.evaluation.trained_model import TrainedModel
from housenumbers.metrics.classes import CLASSES
from housenumbers.metrics.views import test_time_views
from housenumbers.prediction.export_formats import SUFFIXES
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_atomically
from housenumbers.tracking.run_folder import RunFolder, enclosing_run
from housenumbers.training.checkpoint import weights_in, weights_sha256

TOLERANCE = 1e-4  # of a probability: rounding differs by about 1e-7, errors by much more
METADATA_FILE = "housenumbers.json"  # in a .pt2 file; an ONNX file has separate entries
_BATCHES = (1, 2, 7, 54)  # batch sizes in the check
_LICENCES = dict.fromkeys(
    ("svhn", "svhn_6k", "svhn_numbers", "svhn_6k_numbers", "svhn_photo_numbers"),
    "trained on SVHN, which is for non-commercial use",
)

_DIGITS = [str(label) for label in range(CLASSES)]
_ABOUT_DIGITS = {
    "input": "images: uint8 [N, 3, 32, 32], RGB, one digit that fills most of the image; proportions kept, the "
    "longer side resized to 32 (bilinear over all pixels, as Pillow does), the border continued",
    "output": "probabilities: float32 [N, 10], of each class; calibrated by the temperature",
    "classes": json.dumps(_DIGITS),
}
_ABOUT_NUMBERS = {
    "input": "images: uint8 [N, 3, 32, W], RGB, one number that fills most of the image; resized to a height of 32 "
    "(bicubic over all pixels, as Pillow does), both sides continued to a width of 80 or a multiple of 16",
    "output": "probabilities: float32 [N, T, 11], of each class at each place; calibrated by the temperature. The most "
    "probable classes, without repeats and then without blanks, are nearly always the number with the highest "
    "probability over all paths (CTC), which read.py searches for",
    "classes": json.dumps([*_DIGITS, "blank"]),
}

Metadata = Mapping[str, str]
Run = Callable[[Tensor], Tensor]  # uint8 [N, 3, 32, 32] to probabilities [N, 10]; of numbers [N, 3, 32, W], [N, T, 11]


class Exported(NamedTuple):
    """An exported file that agrees with its model."""

    file: Path
    metadata: Metadata
    checked: str  # the images of the check, and its result
    snippet: str  # what uses the file


class _Format(NamedTuple):
    layout: torch.memory_format
    serialized: Callable[[ExportedProgram, Metadata], bytes]
    loaded: Callable[[str], Run]
    snippet: str


class _Pipeline(nn.Module):
    """All steps from an image to its probabilities."""

    def __init__(self, trained: TrainedModel, layout: torch.memory_format) -> None:
        super().__init__()
        self.model = copy.deepcopy(trained.model).to(memory_format=layout)
        self.shift, self.invert = trained.config.tta, trained.config.tta_invert
        self.temperature, self.layout = trained.temperature, layout

    def forward(self, images: Tensor) -> Tensor:
        views = test_time_views(images, self.shift, self.invert)
        # All views as one batch: a call for each view would multiply the graph.
        logits = self.model(torch.cat(views).contiguous(memory_format=self.layout)).float()
        return probabilities(logits.view(len(views), -1, *logits.shape[1:]).mean(dim=0), self.temperature)


def export(trained: TrainedModel, form: str, file: Path | None = None) -> Exported:
    """Writes `trained`, which is on the CPU, to `file`, by default in its run's folder, as `form`: onnx or torch.

    The program takes `images`, uint8 `[N, 3, 32, 32]` RGB, N >= 1, and returns `probabilities`, float32 `[N, 10]`:
    calibrated, and with test-time augmentation where the run's final scores have it. The program of a reader of whole
    numbers takes any width W of 32 pixels or more, and returns the probabilities of ten digits and the blank at each
    place, `[N, T, 11]`. The file is loaded again and compared with the model before it gets its name. Raises UserError,
    and leaves no file, where the model cannot be exported, or a probability differs by more than TOLERANCE.
    """
    file = file_to_write(trained, form, file)
    writer, metadata = _FORMATS[form], describe(trained)
    images_name, batches = _check_batches(trained)
    expected = [trained.logits(batch, all_views=True).softmax(dim=-1) for batch in batches]
    differences: list[float] = []

    def write(temporary: BinaryIO) -> None:
        bar.set_description("translating")
        temporary.write(writer.serialized(program, metadata))
        temporary.flush()
        bar.set_description("checking")
        run = writer.loaded(temporary.name)
        largest = [(run(batch) - wanted).abs().max() for batch, wanted in zip(batches, expected, strict=True)]
        differences.append(torch.stack(largest).max().item())
        if not differences[0] <= TOLERANCE:  # also refuses NaN
            raise UserError(
                f"{file}: not written: its probabilities differ from the model's own by {differences[0]:.1e}, more "
                f"than {TOLERANCE:.0e}: it may draw random numbers, or depend on rounding"
            )

    with tqdm(total=0, desc="tracing", bar_format="{desc}", leave=False, disable=None) as bar, _one_line(trained.file):
        program = _traced(trained, writer.layout)
        write_atomically(file, write)
    is_reader = trained.config.data.has_numbers
    how = f"by the lines in {'docs/numbers.md and ' * is_reader}docs/use.md"
    checked = (
        f"checked on {images_name} in batches of {', '.join(map(str, _BATCHES))}{' and three widths' * is_reader}: "
        f"probabilities differ by at most {differences[0]:.1e}\n"
        f"an image of any size and mode becomes such an image {how}"
    )
    return Exported(file, metadata, checked, writer.snippet.format(file=str(file)))


def file_to_write(trained: TrainedModel, form: str, file: Path | None) -> Path:
    """`file`, or the default one of a model exported as `form`, in its run's folder.

    Raises UserError where it is the checkpoint that the model was read from.
    """
    file = file or trained.output_folder / f"model{trained.file_suffix}{SUFFIXES[form]}"
    if file.resolve() == trained.file.resolve():
        raise UserError(f"file={file}: is the checkpoint that is to be exported: name another file")
    return file


def describe(trained: TrainedModel) -> dict[str, str]:
    """The facts about the model that a user of the file needs. Unknown ones are left out."""
    run = enclosing_run(trained.file)
    record = RunFolder(run).record() if run else {}
    test = record.get("test") if trained.file.stem == "best" else None
    epoch = trained.content.get("record") or {}
    known = {
        **(_ABOUT_NUMBERS if trained.config.data.has_numbers else _ABOUT_DIGITS),
        "run": trained.config.name,
        "model": option_dict(trained.config.model).get("name"),
        "parameters": trained.parameters,
        "data": trained.config.data.name,
        "data_licence": _LICENCES.get(trained.config.data.name),
        "validation_accuracy": epoch.get("val_accuracy"),
        "test_accuracy": test and test["accuracy"],
        "temperature": trained.temperature,
        "tta": trained.config.tta,
        "tta_invert": trained.config.tta_invert,
        "weights_sha256": weights_sha256(weights_in(trained.content)),
        "git_commit": record.get("git_commit"),
        "housenumbers_version": housenumbers.__version__,
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def summary(exported: Exported) -> str:
    """The exported file, the result of its check and its usage, as lines."""
    width = max(map(len, exported.metadata)) + 2
    return "\n".join(
        [
            f"{exported.file}, {exported.file.stat().st_size / 1e6:.1f} MB",
            *(f"  {name:<{width}}{value}" for name, value in exported.metadata.items()),
            exported.checked,
            "",
            exported.snippet,
        ]
    )


def _traced(trained: TrainedModel, layout: torch.memory_format) -> ExportedProgram:
    width = trained.config.data.width or scene.SIZE
    example = torch.zeros(3, 3, scene.SIZE, width, dtype=torch.uint8)
    shapes = {"images": {0: Dim("N", min=1)}}
    if trained.config.data.has_numbers:
        shapes["images"][3] = 4 * Dim("places", min=8, max=4096)
    program = torch.export.export(_Pipeline(trained, layout).eval(), (example,), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def images_for_check(trained: TrainedModel) -> tuple[str, Tensor]:
    """The images of the check, as many as _BATCHES take, and a description: test crops, or rendered digits."""
    count = sum(_BATCHES)
    data = replace(trained.config.data, download=False)
    if data.name.startswith("synthetic"):
        data = replace(data, size=4 * count)  # to render no more than needed: a quarter is for test
    try:
        images = load_test(data).images
    except UserError:
        fonts = glyphs.load_fonts(glyphs.font_files("matplotlib")[:3])  # reading a font takes a while
        pixels = render.render_many((0,), 0.5, fonts, range(count))
        return f"{count} rendered digits (its data are not here)", torch.from_numpy(pixels).permute(0, 3, 1, 2)
    places = torch.linspace(0, len(images) - 1, count).long()  # crops may be sorted by label
    return f"{count} test crops", images[places]


def _check_batches(trained: TrainedModel) -> tuple[str, list[Tensor]]:
    """The images of the check in batches, those of whole numbers in several widths, and a description."""
    name, images = images_for_check(trained)
    batches = [batch.contiguous() for batch in images.split(_BATCHES)]
    if trained.config.data.has_numbers:
        batches[1] = batches[1][..., : scene.SIZE].contiguous()
        batches[2] = torch.cat([batches[2], batches[2][..., : scene.SIZE]], dim=3)
    return name, batches


@contextmanager
def _one_line(file: Path) -> Iterator[None]:
    """Converts any error of an exporter into a UserError.

    Silences the exporter's logs and standard error, which take pages.
    """
    silenced = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    except (OSError, UserError):
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise UserError(f"{file}: cannot be exported: {type(error).__name__}: {first}") from None
    finally:
        logging.disable(silenced)


def _onnx_serialized(program: ExportedProgram, metadata: Metadata) -> bytes:
    from onnx import helper

    exported = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=["images"], output_names=["probabilities"],
        dynamic_shapes={"images": {0: "N"}},
    )  # fmt: skip
    assert exported is not None
    model = exported.model_proto  # each access makes a new one
    helper.set_model_props(model, dict(metadata))
    return model.SerializeToString()


def _onnx_loaded(file: str) -> Run:
    from onnxruntime import InferenceSession

    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["probabilities"], {"images": images.numpy()})[0])


def _torch_serialized(program: ExportedProgram, metadata: Metadata) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={METADATA_FILE: json.dumps(metadata)})
    return content.getvalue()


def _torch_loaded(file: str) -> Run:
    with Path(file).open("rb") as written:  # a path would have to end in .pt2
        return torch.export.load(written).module()


_FORMATS = {
    "onnx": _Format(
        torch.contiguous_format,  # channels_last leaves extra nodes in the graph
        _onnx_serialized,
        _onnx_loaded,
        """import onnxruntime
session = onnxruntime.InferenceSession({file!r})
probabilities = session.run(None, {{"images": images}})[0]""",
    ),
    "torch": _Format(
        torch.channels_last,  # faster on a CPU
        _torch_serialized,
        _torch_loaded,
        """import torch
model = torch.export.load({file!r}).module()
probabilities = model(images)""",
    ),
}
