"""Where the folder conf/ is: beside src/ in a checkout, in the package where a wheel is installed."""

from pathlib import Path

from housenumbers.runtime.installation import CHECKOUT

CONF = (CHECKOUT or Path(__file__).resolve().parents[1]) / "conf"
