"""From the words of a command line to a checked configuration, as train.py composes it. Imports no torch either."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from housenumbers.config import TrainConfig, checked, known_keys, register
from housenumbers.errors import UserError
from housenumbers.messages import one_line

# Keys whose values are paths, which may hold any letter.
_PATH_KEYS = ("data.root", "data.cache", "data.fonts", "model.pretrained", "hydra.run.dir", "hydra.sweep.dir")


def composed_from(conf: Path, words: Sequence[str]) -> TrainConfig:
    """What train.py composes of the folder `conf` and these words, checked. Raises UserError as it does."""
    register()
    with composing(), initialize_config_dir(str(conf)):
        return checked(compose("train", quoted(words)))


@contextmanager
def composing() -> Iterator[None]:
    """Turns what Hydra raises for words that it cannot compose into a UserError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error, known_keys())) from None
    except ValueError as error:
        if "Config group override" in str(error):  # Hydra's word for GROUP=3
            raise UserError(f"{error}: choose an option of conf/, GROUP=OPTION") from None
        if "invalid literal for int()" in str(error):  # and for a key below a list
            raise UserError(f"{error}: a list is set as a whole, KEY=[1,2]") from None
        raise


def quoted(words: Sequence[str]) -> list[str]:
    """The words, those paths in quotes that Hydra's grammar does not take: with letters beyond ASCII, `(` or `=`."""
    parser = OverridesParser.create()

    def parses(word: str) -> bool:
        try:
            parser.parse_override(word)
        except HydraException:
            return False
        return True

    def in_quotes(word: str) -> str:
        key, _, path = word.partition("=")
        if key not in _PATH_KEYS or parses(word):
            return word
        escaped = path.replace('"', r"\"")
        return f'{key}="{escaped}"'

    return [in_quotes(word) for word in words]
