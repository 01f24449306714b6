"""Rendered street-number digits and whole numbers, cached: no download, any number, any difficulty."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import torch
from tqdm import tqdm

from housenumbers.config.sections import DataConfig
from housenumbers.data import defects, glyphs, number_image, render, render_number, scene, strokes
from housenumbers.data.cache import cached, pillow_build
from housenumbers.data.cache_entry import file_state
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError

# Renders the images of some indices, from the seeds, the difficulty, the fonts and the indices.
Render = Callable[[tuple[int, ...], float, Sequence[glyphs.Font], Sequence[int]], LabeledImages]

_PARTS = {"train": 0, "test": 1}
_TEST_SHARE = 4  # the test part has a quarter of the images
_CHUNK = 500  # images that a process renders at a time


def read_synthetic(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The `part` of data=synthetic and its SHA-256: `data.size` crops for train, and a quarter of this number for test.

    A crop is a function of (`data.render_seed`, part, its index), `data.difficulty` and the fonts. Its label is the
    last digit of its index. Raises UserError for `extra`, and for `data.fonts` without fonts.
    """
    return _read(config, part, "", (render,), _render_crops)


def _render_crops(
    key: tuple[int, ...], difficulty: float, fonts: Sequence[glyphs.Font], indices: Sequence[int]
) -> LabeledImages:
    crops = torch.from_numpy(render.render_many(key, difficulty, fonts, indices))
    return LabeledImages(crops.permute(0, 3, 1, 2), torch.tensor(indices) % 10)


def read_synthetic_numbers(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The same with whole numbers, `data.width` pixels wide. The label is a function of seed, part and index.

    A few images show no number.
    """
    render_many = partial(render_number.render_numbers, width=config.width)
    return _read(config, part, glyphs.MARKS, (render_number, number_image), render_many)


def _read(
    config: DataConfig, part: str, marks: str, code: tuple[ModuleType, ...], render_many: Render
) -> tuple[LabeledImages, str]:
    """The images that `render_many`, with its own modules `code`, renders with fonts that have these `marks`."""
    if part == "extra":
        raise UserError(f"data.use_extra: data={config.name} has no extra part: make data.size larger instead")
    count = config.size if part == "train" else -(-config.size // _TEST_SHARE)
    files = glyphs.font_files(config.fonts)
    # The pixels depend on these numbers, the drawing code, its library and the fonts.
    key: list[object] = [config.render_seed, part, count, config.difficulty, config.width, *pillow_build()]
    key += [inspect.getsource(module) for module in (defects, glyphs, scene, strokes, *code)]
    key += [(file.name, *file_state(file)) for file in files]
    name = f"{config.name}_{part}_{count}_{config.difficulty:g}"

    def make() -> LabeledImages:
        fonts = _fonts(tuple(files), marks)
        return _render(partial(render_many, (config.render_seed, _PARTS[part]), config.difficulty, fonts), part, count)

    return cached(name, repr(key), config.cache, make)


@cache  # a curriculum needs them once for each difficulty, and they take seconds
def _fonts(files: tuple[Path, ...], marks: str) -> list[glyphs.Font]:
    return glyphs.load_fonts(list(files), marks)


def _render(render_chunk: Callable[[range], LabeledImages], part: str, count: int) -> LabeledImages:
    """Renders on all cores."""
    import joblib  # imported here: only this function needs it

    chunks = [range(begin, min(begin + _CHUNK, count)) for begin in range(0, count, _CHUNK)]
    # Processes take a second to start, so few chunks are rendered in this one.
    workers = joblib.Parallel(n_jobs=1 if len(chunks) < 4 else -1, return_as="generator", pre_dispatch="2*n_jobs")
    whole = LabeledImages(torch.empty(0), torch.empty(0))
    with tqdm(total=count, desc=f"rendering the {part} part", unit="image", leave=False, disable=None) as bar:
        for chunk, piece in zip(chunks, workers(joblib.delayed(render_chunk)(chunk) for chunk in chunks), strict=True):
            signals.exit_if_received()
            if not chunk.start:  # the first has the shapes of all
                whole = LabeledImages(*(torch.empty(count, *one.shape[1:], dtype=one.dtype) for one in piece))
            for target, source in zip(whole, piece, strict=True):
                target[chunk.start : chunk.stop] = source
            bar.update(len(chunk))
    return whole
