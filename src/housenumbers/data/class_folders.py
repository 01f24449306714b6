"""The layout of custom images in folders: the folders of parts and classes, and files that are not used."""

import logging
import mimetypes
from collections.abc import Sequence
from pathlib import Path

from housenumbers.config.sections import DataConfig
from housenumbers.data.image_files import is_hidden, iter_files, list_files
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import first_few

log = logging.getLogger(__name__)

_CLASS_FOLDERS = [str(label) for label in range(10)]
_VALIDATION = ("val", "valid", "validation")
_SPLITS = ("train", *_VALIDATION, "test", "extra")

_LAYOUT = (
    "it must hold folders 0 to 9 with images, or train and test (and perhaps val and extra) that hold such folders"
)


def has_split_folders(root: Path) -> bool:
    """Whether the root holds folders of parts, such as train, and not the classes themselves."""
    return (root / "train").is_dir() or (bool(_parts_in(root)) and not _holds_classes(root))


def validation_folder(root: Path) -> Path | None:
    """The folder of the validation part, `val`, `valid` or `validation`, where the root is split and has one.

    Raises UserError where there are several.
    """
    folders = [root / name for name in _VALIDATION if has_split_folders(root) and (root / name).is_dir()]
    if len(folders) > 1:
        raise UserError(
            f"{root}: holds {' and '.join(path.name for path in folders)}: only one can be the validation part"
        )
    return folders[0] if folders else None


def class_root(root: Path, part: str) -> Path:
    """The folder that holds the classes of the `part`: train, validation, test or extra.

    Raises UserError where there is none, or it is ambiguous.
    """
    if has_split_folders(root):
        home = validation_folder(root) or root / "validation" if part == "validation" else root / part
    else:
        home = root
        if parts := _parts_in(root):
            raise UserError(
                f"{root}: holds {', '.join(parts)} beside folders of classes: move the classes into {root / 'train'}, "
                f"or {' and '.join(parts)} elsewhere"
            )
        if part == "extra":
            raise UserError(f"data.use_extra: {root} is not split, so that it has no extra part: leave it false")
    if not _holds_classes(home):
        raise UserError(f"data.root={root}: {home} has no images: {_LAYOUT}{_found(home)}")
    return home


def _found(home: Path) -> str:
    """What a folder holds instead of classes, in words. Empty where there is none, or it is empty."""
    names = sorted(path.name for path in home.iterdir() if not is_hidden(path.name)) if home.is_dir() else []
    return f"; it holds {first_few(names)}" if names else ""


def check_layout(config: DataConfig) -> None:
    """Raises UserError where the folders below `data.root` do not hold the parts that the configuration needs."""
    root = Path(config.root)
    parts = ["train", "test"] + (["extra"] if config.use_extra != "false" else [])
    if config.val_fraction > 0 and has_validation(config):
        parts.append("validation")
    for part in parts:
        _refuse_ten(class_root(root, part))


def labelled_files(home: Path) -> list[tuple[Path, int]]:
    """All files of the classes in `home` and their labels, sorted by name.

    Raises UserError where there is a folder 10 with files: in SVHN, 10 is the label of the digit 0.
    """
    _refuse_ten(home)
    labelled = [(path, label) for label, name in enumerate(_CLASS_FOLDERS) for path in list_files(home / name)]
    return sorted(labelled, key=lambda item: (item[0].name, str(item[0])))


def _refuse_ten(home: Path) -> None:
    ten = home / "10"
    if ten.is_dir() and any(iter_files(ten)):
        raise UserError(f"{ten}: not a class: rename it to 0 if it holds zeros, as label 10 of SVHN, or move it away")


def has_validation(config: DataConfig) -> bool:
    """Whether the images below `data.root` include a validation part."""
    return validation_folder(Path(config.root)) is not None


def log_unused_files(config: DataConfig) -> None:
    """Logs the files below `data.root` that are not read, and the classes without images: a line for each folder."""
    root = Path(config.root)
    homes = [root]
    if has_split_folders(root):
        homes = [root / name for name in _parts_in(root)]
        _warn_of_others(root, _SPLITS)
        if (root / "extra").is_dir() and config.use_extra == "false":
            log.info("%s: not used: data.use_extra=true trains on it, too", root / "extra")
        validation = validation_folder(root)
        if validation and config.val_fraction > 0:
            log.info("%s: validates, so that nothing is split off by data.split and data.val_fraction", validation)
        elif validation:
            log.warning("%s: not used, since data.val_fraction=0 asks for no validation", validation)
    else:
        log.warning("%s: every fifth image of a class is the test part; folders train and test decide otherwise", root)
    for home in homes:
        _warn_of_others(home, _CLASS_FOLDERS)
        empty = [name for name in _CLASS_FOLDERS if not any(iter_files(home / name))]
        if 0 < len(empty) < len(_CLASS_FOLDERS):
            log.warning("%s: holds no images of %s", home, ", ".join(empty))


def _warn_of_others(folder: Path, used: Sequence[str]) -> None:
    """Logs unused folders and images in the folder."""
    others = sorted(path for path in folder.iterdir() if path.name not in used and not is_hidden(path.name))
    folders = [f"{path.name}/" for path in others if path.is_dir()]
    kinds = {path: mimetypes.guess_type(path.name)[0] or "" for path in others if path.is_file()}
    images = [path.name for path, kind in kinds.items() if kind.startswith("image/")]
    if names := folders + images:
        log.warning("%s: not used: %s (used are %s)", folder, first_few(names, " and"), ", ".join(used))


def _parts_in(root: Path) -> list[str]:
    return [name for name in _SPLITS if (root / name).is_dir()]


def _holds_classes(home: Path) -> bool:
    return any((home / name).is_dir() for name in _CLASS_FOLDERS)
