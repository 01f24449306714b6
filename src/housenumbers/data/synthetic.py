"""Rendered street-number digits, cached: no download, any number, any difficulty."""

import inspect
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from housenumbers.config.sections import DataConfig
from housenumbers.data import defects, glyphs, render, strokes
from housenumbers.data.cache import cached, pillow_build
from housenumbers.data.cache_entry import file_state
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError

_PARTS = {"train": 0, "test": 1}
_TEST_SHARE = 4  # the test part has a quarter of the crops
_CHUNK = 500  # crops that a process renders at a time


def read_synthetic(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The `part` and its SHA-256: `data.size` crops for train, and a quarter of this number for test.

    A crop is a function of (`data.render_seed`, part, its index), `data.difficulty` and the fonts. Its label is the
    last digit of its index. Raises UserError for `extra`, and for `data.fonts` without fonts.
    """
    if part == "extra":
        raise UserError("data.use_extra: data=synthetic has no extra part: make data.size larger instead")
    count = config.size if part == "train" else -(-config.size // _TEST_SHARE)
    files = glyphs.font_files(config.fonts)
    # The pixels depend on these numbers, the drawing code, its library and the fonts.
    key: list[object] = [config.render_seed, part, count, config.difficulty, *pillow_build()]
    key += [inspect.getsource(module) for module in (defects, glyphs, render, strokes)]
    key += [(file.name, *file_state(file)) for file in files]
    name = f"synthetic_{part}_{count}_{config.difficulty:g}"
    return cached(name, repr(key), config.cache, partial(_render, config, part, count))


@cache  # a curriculum needs them once for each difficulty, and they take seconds
def _fonts(*files: Path) -> list[glyphs.Font]:
    return glyphs.load_fonts(list(files))


def _render(config: DataConfig, part: str, count: int) -> LabeledImages:
    """Renders on all cores."""
    import joblib  # imported here: only this function needs it

    fonts = _fonts(*glyphs.font_files(config.fonts))
    chunks = [range(begin, min(begin + _CHUNK, count)) for begin in range(0, count, _CHUNK)]
    render_chunk = partial(render.render_many, (config.render_seed, _PARTS[part]), config.difficulty, fonts)
    # Processes take a second to start, so few chunks are rendered in this one.
    workers = joblib.Parallel(n_jobs=1 if len(chunks) < 4 else -1, return_as="generator", pre_dispatch="2*n_jobs")
    images = torch.empty(count, 3, render.SIZE, render.SIZE, dtype=torch.uint8)
    with tqdm(total=count, desc=f"rendering the {part} part", unit="crop", leave=False, disable=None) as bar:
        for chunk, pixels in zip(chunks, workers(joblib.delayed(render_chunk)(chunk) for chunk in chunks), strict=True):
            signals.exit_if_received()
            images[chunk.start : chunk.stop] = torch.from_numpy(pixels).permute(0, 3, 1, 2)
            bar.update(len(chunk))
    return LabeledImages(images, torch.from_numpy(np.arange(count) % 10))
