"""Where the folder conf/ is: beside src/ in a checkout, in the package where a wheel is installed."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_OF_CHECKOUT = _PACKAGE.parents[1] / "conf"

CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _OF_CHECKOUT
