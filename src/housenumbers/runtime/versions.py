"""The installed versions that bits depend on, and whether they are the pinned ones. Does not import torch."""

import hashlib
import platform
import re
from functools import cache
from importlib.metadata import version

from housenumbers.runtime.installation import CHECKOUT

LOCK = CHECKOUT / "requirements.lock" if CHECKOUT else None
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "hydra-core", "omegaconf")


@cache
def package_versions() -> dict[str, str]:
    """The versions of Python and of each package that results depend on."""
    return {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES}


def lock_sha256() -> str | None:
    """The SHA-256 of requirements.lock where the installed packages are those that it pins; otherwise None."""
    if LOCK is None or not LOCK.exists():
        return None
    content = LOCK.read_bytes()
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", content.decode(), re.MULTILINE))
    installed = {package: package_versions()[package].partition("+")[0] for package in _PACKAGES}  # without +cpu
    is_pinned = all(pinned.get(package) == number for package, number in installed.items())
    return hashlib.sha256(content).hexdigest() if is_pinned else None


def how_to_install(lock: str | None, commit: str | None) -> str | None:
    """Advice on installing the versions of a run whose record has this `lock_sha256`; None where that is not known."""
    if lock is None:
        return None
    if LOCK is not None and LOCK.exists() and lock == hashlib.sha256(LOCK.read_bytes()).hexdigest():
        return "the first run had the versions of requirements.lock: make install LOCKED=1 installs them"
    return (
        f"the first run had the versions of requirements.lock at commit {commit or 'unknown'} "
        f"(SHA-256 {lock[:12]}...): check that commit out, then make install LOCKED=1"
    )
