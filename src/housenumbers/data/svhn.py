"""Street View House Numbers, cropped digits (Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers/).

Two sources: the official splits, and SVHN-6k, a small benchmark set that is cut from them by position.
"""

import urllib.error
from pathlib import Path

from housenumbers.config.sections import DataConfig
from housenumbers.data.cache import decoded
from housenumbers.data.download import download, network_reason
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.mat_file import read_mat
from housenumbers.data.svhn_files import cache_variant, not_official
from housenumbers.runtime.errors import UserError

# The SHA-256 of the pixels and labels of SVHN-6k, whichever files it was read from.
_SVHN_6K_SHA256 = {
    "train": "2bd6736266fc1a188da26e3ba8b9e61341929dd85ccbac13541619248a722d3c",
    "extra": "f2930b70e86c0f90596ff64adeac251061ce11d8771c8f692a5ca1ba56daf4db",
    "test": "576035492c188f32a697ed06ee89b5529d53ca761a7a672c88fb660e93ebe2c2",
}
# The places of its parts in the official files.
SVHN_6K_CUTS = {
    "train": ("test", slice(0, 5000)),
    "extra": ("train", slice(0, 1083)),
    "test": ("test", slice(5000, 6001)),
}


def read_svhn(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The official `part` (train, test or extra) and its SHA-256.

    Raises UserError where the file is missing and cannot be downloaded, is not the official one (unless
    `data.verify=false`), or is damaged.
    """
    path = locate(config, part)

    def decode(path: Path) -> LabeledImages:
        if config.verify and not _is_official(path, part):
            raise not_official(path, "its MD5 differs")
        return read_mat(path)

    return decoded(path, config.cache, cache_variant(config), decode)


def read_svhn_6k(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The `part` (train, extra or test) of SVHN-6k and its SHA-256.

    Raises UserError where the files are neither the official ones nor hold exactly these crops.
    """

    def read(name: str) -> tuple[Path, LabeledImages, str]:
        path = locate(config, name)
        return path, *decoded(path, config.cache, cache_variant(config), read_mat)

    path, data, sha256 = read("test")
    if len(data.labels) != 1001:  # then it is the official file
        official, cut = SVHN_6K_CUTS[part]
        path, everything, _ = read(official)
        data = everything.subset(cut)
        sha256 = data.sha256()
    elif part != "test":
        path, data, sha256 = read(part)
    if sha256 != _SVHN_6K_SHA256[part]:
        raise UserError(
            f"{path}: does not hold the {part} part of SVHN-6k: set data.root to the folder of the official files, "
            "or of just these crops; data=svhn data.verify=false takes other files"
        )
    return data, sha256


def locate(config: DataConfig, part: str) -> Path:
    """The path of a part's file. Downloads a missing file, and checks it against the official MD5 sum.

    Raises UserError where it is missing and may not, or cannot, be downloaded.
    """
    path = Path(config.root) / f"{part}_32x32.mat"
    if path.is_file():
        return path
    if not config.download:
        raise UserError(f"{path}: no such file: put it there, set data.root=FOLDER, or allow data.download=true")
    from torchvision.datasets import SVHN  # imported here: it takes a second that only a download needs
    from torchvision.datasets.utils import download_url

    url, _, md5 = SVHN.split_list[part]
    try:
        download(path, lambda temporary: download_url(url, temporary.parent, temporary.name, md5))
    except (urllib.error.URLError, TimeoutError, RuntimeError, OSError) as error:
        raise UserError(
            f"{path}: no such file, and {url} could not be downloaded ({network_reason(error)}): put the file there, "
            "set data.root to its folder, or choose another data (data=digits needs no download)"
        ) from None
    return path


def _is_official(path: Path, part: str) -> bool:
    from torchvision.datasets import SVHN
    from torchvision.datasets.utils import check_integrity

    return bool(check_integrity(path, SVHN.split_list[part][2]))
