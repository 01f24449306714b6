"""What all pages share: a template with its colours, figures and crops that go into one file, text that is escaped."""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from housenumbers.config.values import flatten
from housenumbers.tracking.run_index import duration

_HERE = Path(__file__).parent
_TEXT = "#123456"  # stands for the page's own text colour, which is another in the dark
_THEME: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _TEXT),
    **dict.fromkeys(("figure.facecolor", "savefig.facecolor", "axes.facecolor"), "none"),
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "housenumbers",  # equal figures, equal files
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def render(template: str, content: Mapping[str, Any], folder: Path = _HERE) -> str:
    """The page that a template of this package, or in another `folder`, makes of `content`, whose text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _HERE], encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "duration": duration}
    return environment.get_template(template).render(content)


def percent(fraction: float | None, digits: int = 2) -> str:
    """ "94.12 %", or a dash for null."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def svg(draw: Callable[..., Figure], *arguments: Any) -> Markup:
    """The figure that `draw` draws of the arguments, for a page: in the page's colours, in light and in the dark."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_THEME):
        figure = draw(*arguments)
        width, height = figure.get_size_inches()
        figure.set_size_inches(5.2, 5.2 * height / width)  # small, so that its text is readable on a phone
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for color in (_TEXT, "#000000"):  # black is the figures' own colour for marks
        drawn = drawn.replace(f": {color}", ": currentColor")
    return Markup(drawn)  # matplotlib escapes the text that it writes


def png(image: Tensor) -> str:
    """An image, uint8 `[3, H, W]`, as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue())


def gallery_item(image: Tensor, *lines: str, look: str = "") -> dict[str, Any]:
    """What a page's gallery shows: an image, uint8 `[3, H, W]`, with lines below; `look` is "right", "wrong" or ""."""
    return {"url": png(image), "lines": lines, "look": look}


def data_url(image: bytes) -> str:
    """A PNG file's content as a URL."""
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested values as dotted keys and text."""
    return {key: "null" if value is None else str(value) for key, value in flatten(values).items()}
