"""Shared by all pages: the template environment with escaped text, and figures and images embedded in the page."""

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
from housenumbers.runtime.installation import command
from housenumbers.runtime.text import duration

_HERE = Path(__file__).parent
_TEXT = "#123456"  # a placeholder for the page's text colour, which differs in dark mode
_THEME: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _TEXT),
    **dict.fromkeys(("figure.facecolor", "savefig.facecolor", "axes.facecolor"), "none"),
    "legend.frameon": False,
    "svg.fonttype": "none",  # text is not converted to paths
    "svg.hashsalt": "housenumbers",  # equal figures result in equal files
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def render(template: str, content: Mapping[str, Any], folder: Path = _HERE) -> str:
    """Renders a template of this package, or of another `folder`, with `content`. Text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _HERE], encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["command"] = command
    environment.filters |= {"percent": percent, "duration": duration}
    return environment.get_template(template).render(content)


def percent(fraction: float | None, decimals: int = 2) -> str:
    """ "94.12 %", or a dash for None."""
    return "-" if fraction is None else f"{100 * fraction:.{decimals}f} %"


def svg(draw: Callable[..., Figure], *arguments: Any) -> Markup:
    """The figure that `draw` returns, as SVG in the page's colours for light and dark mode."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_THEME):
        figure = draw(*arguments)
        width, height = figure.get_size_inches()
        figure.set_size_inches(5.2, 5.2 * height / width)  # small, so that the text is readable on a phone
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for color in (_TEXT, "#000000"):  # figures draw marks in black
        drawn = drawn.replace(f": {color}", ": currentColor")
    return Markup(drawn)  # matplotlib escapes the text that it writes


def png(image: Tensor) -> str:
    """An image, uint8 `[3, H, W]`, as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue())


def gallery_item(image: Tensor, *lines: str, look: str = "") -> dict[str, Any]:
    """An item of a page's gallery: an image, uint8 `[3, H, W]`, with text below; `look` is "right", "wrong" or ""."""
    return {"url": png(image), "lines": lines, "look": look}


def data_url(image: bytes) -> str:
    """A PNG file's content as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested values as text by dotted keys."""
    return {key: "null" if value is None else str(value) for key, value in flatten(values).items()}
