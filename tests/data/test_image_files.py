"""Which files are images of the user's: never hidden ones, nor what systems and network drives leave among them."""

import os
from pathlib import Path

import pytest

from housenumbers.data.image_files import find_images, list_files

NOT_THE_USERS = (
    ".git/objects/a.png", ".ipynb_checkpoints/000-checkpoint.png", "more/.thumbnails/a.png", ".a.png", "._a.png",
    "@eaDir/b.png", "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._a.png", "__macosx/a.png", "more/@EADIR/a.png",
    "Thumbs.db", "thumbs.db", "THUMBS.DB", "more/ehthumbs.db", "Desktop.ini", "desktop.ini", ".DS_Store", "Icon\r",
    "$RECYCLE.BIN/a.png", "System Volume Information/a.png", "lost+found/a.png", "#recycle/a.png", "~$a.png",
)  # fmt: skip
USERS = ("a.png", "more/b.jpg", "more/deep er/c.gif", "thumbs/d.png", "git/e.png", "f.db")


def write(home: Path) -> None:
    for name in (*NOT_THE_USERS, *USERS):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()


@pytest.mark.parametrize("root", ["images", ".hidden/images", "@eaDir", ".git/.cache"])
def test_hidden_is_what_is_hidden_below_the_root(tmp_path: Path, root: str) -> None:
    home = tmp_path / root
    write(home)
    assert list_files(home) == sorted(home / name for name in USERS)
    assert find_images([str(home)]) == list_files(home)


def test_patterns_find_nothing_hidden_that_they_do_not_name(tmp_path: Path) -> None:
    write(tmp_path)
    assert set(find_images([f"{tmp_path}/**"])) == {tmp_path / name for name in USERS}
    assert set(find_images([f"{tmp_path}/*"])) == {tmp_path / name for name in USERS}
    assert set(find_images([f"{tmp_path}/**/*.png"])) == {tmp_path / name for name in USERS if name.endswith("png")}
    assert find_images([f"{tmp_path}/@eaDir/*.png/*"]) == [tmp_path / "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg"]
    assert find_images([f"{tmp_path}/.ipynb_checkpoints/*"]) == [tmp_path / ".ipynb_checkpoints/000-checkpoint.png"]


def test_a_hidden_file_that_is_named_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    assert find_images([f"{tmp_path}/.a.png"]) == [tmp_path / ".a.png"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").touch()
    home = tmp_path / "home"
    home.mkdir()
    (home / "first").symlink_to(tmp_path / "elsewhere")
    (home / "second").symlink_to(tmp_path / "elsewhere")
    (home / "loop").symlink_to(home)
    (home / "nowhere.png").symlink_to("gone.png")
    os.mkfifo(home / "pipe.png")
    assert list_files(home) == [home / "first/a.png", home / "nowhere.png"]
