"""Images of one's own: what is converted, what is refused, and how they are split."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from support import TINY, Command, data_config

from housenumbers.config.sections import DataConfig
from housenumbers.data import folder, svhn
from housenumbers.data.folder import as_rgb, read_folder, read_image
from housenumbers.data.load import load_splits, load_test
from housenumbers.runtime.errors import UserError


def digit(label: int, shade: int = 200, size: tuple[int, int] = (40, 40)) -> Image.Image:
    image = Image.new("RGB", size, (20, 30, shade))
    ImageDraw.Draw(image).text((size[0] // 4, 2), str(label), fill="white", font_size=size[1] * 0.8)
    return image


def write_classes(home: Path, each: int, labels: range = range(10)) -> None:
    for label in labels:
        own = home / str(label)
        own.mkdir(parents=True)
        for number in range(each):
            digit(label, shade=20 * number % 256).save(own / f"{number:03d} bild {label} ü.png")


def config(root: Path, **more: object) -> DataConfig:
    return data_config(root, name="folder", **more)


def test_a_folder_that_is_not_split_gives_every_fifth_image_to_the_test(tmp_path: Path) -> None:
    write_classes(tmp_path, 10)
    train, _ = read_folder(config(tmp_path), "train")
    test, _ = read_folder(config(tmp_path), "test")
    assert train.labels.bincount().tolist() == [8] * 10
    assert test.labels.bincount().tolist() == [2] * 10
    pixels = {image.numpy().tobytes() for part in (train, test) for image in part.images}
    assert len(pixels) == 100
    again, _ = read_folder(config(tmp_path), "test")
    assert torch.equal(again.images, test.images)


def test_a_folder_that_is_split_is_taken_as_it_is(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", 6)
    write_classes(tmp_path / "test", 3)
    splits = load_splits(config(tmp_path, val_fraction=0.5, split="random"))
    assert splits.validation is not None
    assert len(splits.train.labels) == len(splits.validation.labels) == 30
    assert load_test(config(tmp_path)).labels.bincount().tolist() == [3] * 10


def test_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", 3)
    train, _ = read_folder(config(tmp_path), "train")
    assert train.labels.tolist() == [*range(10)] * 3


def test_a_second_start_reads_no_image_and_a_changed_one_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_classes(tmp_path / "train", 3)
    first, sha256 = read_folder(config(tmp_path), "train")
    with monkeypatch.context() as patched:
        patched.setattr(folder, "_read", lambda _: pytest.fail("reads images again"))
        assert read_folder(config(tmp_path), "train")[1] == sha256
    file = next((tmp_path / "train/7").iterdir())
    stat = file.stat()
    file.write_bytes(b"x" * stat.st_size)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # of equal size and time
    with pytest.raises(UserError, match="cannot be read"):
        read_folder(config(tmp_path), "train")
    digit(3).save(file)
    changed, other = read_folder(config(tmp_path), "train")
    assert other != sha256
    assert not torch.equal(first.images, changed.images)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"image.{suffix}"
    digit(5).save(file)
    pixels = read_image(file)
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (3, 32, 32))
    expected = torch.tensor([20, 30, 200]).view(3, 1, 1)
    assert (pixels[:, 0:1, 0:1].int() - expected).abs().max() < 12


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16", "LA", "RGBA", "F"])
def test_modes_are_converted_as_one_would_expect(tmp_path: Path, mode: str) -> None:
    """A bright square on a dark ground stays one, on the scale of 0 to 255."""
    values = np.zeros((40, 40), np.uint8)
    values[10:30, 10:30] = 255
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(values.astype(np.float32) / 255)
    else:
        image = Image.fromarray(values).convert("RGB" if mode == "CMYK" else "L").convert(mode)
    file = tmp_path / ("image.tif" if mode in ("CMYK", "F") else "image.png")
    image.save(file)
    pixels = read_image(file)
    assert (pixels[:, 16, 16] > 250).all()
    assert (pixels[:, 1, 1] < 5).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "F", "RGBA"])
@pytest.mark.parametrize("size", [(28, 28), (64, 47), (224, 224), (5, 9)])
def test_every_grey_stays_what_it_is(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    """Floats become bytes by rounding, whatever is resized, padded or laid on white."""
    for grey in (*range(0, 256, 15), 1, 127, 254):
        values = np.full(size[::-1], grey, np.uint8)
        if mode == "I;16":
            image = Image.fromarray(values.astype(np.uint16) * 257)
        elif mode == "F":  # its own darkest and lightest value become 0 and 255
            values[0, 0], values[0, 1] = 0, 255
            image = Image.fromarray(values.astype(np.float32) / 255)
        else:
            image = Image.fromarray(values).convert(mode)
        image.save(tmp_path / "a.tif")
        assert (read_image(tmp_path / "a.tif")[:, -1, -1] == grey).all()


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "glass.png")
    assert (read_image(tmp_path / "glass.png") == 255).all()


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), shade) for shade in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "moving.gif")[:, 0, 0].tolist() == [255, 0, 0]


def test_proportions_are_kept_and_borders_continued(tmp_path: Path) -> None:
    wide = Image.new("RGB", (20_000, 5_000), "green")
    ImageDraw.Draw(wide).rectangle((0, 0, 20_000, 1_250), fill="yellow")
    wide.save(tmp_path / "wide.png")
    pixels = read_image(tmp_path / "wide.png")
    assert pixels[:, 0, 16].tolist() == pixels[:, 12, 16].tolist() == [254, 254, 0]  # above the image, and its top
    assert pixels[:, 31, 16].tolist() == [0, 128, 0]


def test_a_image_that_a_camera_turned_is_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 40), "black")
    ImageDraw.Draw(image).rectangle((0, 0, 40, 19), fill="white")  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "turned.jpg", exif=exif)
    pixels = read_image(tmp_path / "turned.jpg")
    assert pixels[0, 4, 16] < 10
    assert pixels[0, 28, 16] > 245


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_an_image_of_each_format_is_turned_once(suffix: str, orientation: int, tmp_path: Path) -> None:
    """Pillow turns a TIFF as it loads it, and no other of these formats."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16], pixels[:16, 16:] = 255, 120  # different in each orientation
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"turned.{suffix}"
    Image.fromarray(pixels).save(file, exif=exif, quality=95)
    with Image.open(file) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    assert (read_image(file).permute(1, 2, 0).numpy() == upright).all()
    with Image.open(file) as opened:  # as Python programs give images
        assert (np.asarray(as_rgb(opened)) == upright).all()
        assert (np.asarray(as_rgb(opened)) == upright).all(), "loaded before"


def test_files_that_cannot_be_read_are_named_before_training_begins(command: Command, tmp_path: Path) -> None:
    write_classes(tmp_path / "mine", 5)
    (tmp_path / "mine/3/empty.png").touch()
    (tmp_path / "mine/4/no image.jpg").write_text("hello")
    good = (tmp_path / "mine/5").iterdir().__next__()
    (tmp_path / "mine/5/torn.png").write_bytes(good.read_bytes()[:150])
    (tmp_path / "mine/6/gone.png").symlink_to("nowhere.png")
    (tmp_path / "mine/6/.DS_Store").write_text("the system's own")
    done = command("train", *TINY, "data=folder", "data.root=mine")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "4 of 54 files cannot be read" in line
    assert all(name in line for name in ("empty.png", "no image.jpg", "torn.png", "gone.png"))
    assert "DS_Store" not in line
    assert "no image.jpg (not an image, or damaged at its beginning)" in line
    assert "gone.png (No such file or directory)" in line
    assert "<_io" not in line


def test_a_png_is_read_only_if_its_checksums_fit(tmp_path: Path) -> None:
    """Pillow would decode it: here nothing but the checksum of the pixels is another one."""
    digit(3).save(tmp_path / "whole.png")
    content = bytearray((tmp_path / "whole.png").read_bytes())
    whole = read_image(tmp_path / "whole.png")
    assert torch.equal(read_image(io.BytesIO(content)), whole)
    content[-16] ^= 1  # before the last chunk, of twelve bytes
    (tmp_path / "damaged.png").write_bytes(content)
    assert np.array_equal(Image.open(tmp_path / "damaged.png"), Image.open(tmp_path / "whole.png"))
    for file in (tmp_path / "damaged.png", io.BytesIO(content)):
        with pytest.raises(SyntaxError, match="bad header checksum"):
            read_image(file)
    whole_content = (tmp_path / "whole.png").read_bytes()
    for missing in (1, 4, 8, 12):  # of the last chunk, after the pixels
        with pytest.raises(SyntaxError, match="truncated"):
            read_image(io.BytesIO(whole_content[:-missing]))


@pytest.mark.parametrize("name", ["pics ü (x)", "a=b", 'say "5"'])
def test_a_folder_may_have_any_name(command: Command, tmp_path: Path, name: str) -> None:
    write_classes(tmp_path / name, 5)
    words = ("epochs=1", "data=folder", f"data.root={tmp_path / name}", "data.val_fraction=0", "data.reduce=1")
    done = command("train", *TINY, *words, "hydra.run.dir=größer")
    assert done.returncode == 0, done.stderr
    evaluated = command("evaluate", "run=größer", "data=folder", f"data.root={tmp_path / name}")
    assert evaluated.returncode == 0, evaluated.stderr


@pytest.mark.parametrize(
    ("labels", "said"), [(range(3, 4), "one class alone"), (range(0), "it must hold folders 0 to 9")]
)
def test_a_folder_without_classes_is_one_line(tmp_path: Path, labels: range, said: str) -> None:
    write_classes(tmp_path, 5, labels)
    with pytest.raises(UserError, match=said):
        read_folder(config(tmp_path), "train")


def test_a_net_learns_from_a_folder_and_is_tested_on_it(command: Command, tmp_path: Path) -> None:
    write_classes(tmp_path / "mine", 20)
    words = ("data=folder", "data.root=mine", "model.width=4", "epochs=2", "threads=1")
    done = command("train", *words)
    assert done.returncode == 0, done.stderr
    assert "of 40, with the weights" in done.stdout
    assert command("evaluate", "run=last", "split=validation").returncode == 0
    missing = command("train", "data=folder")
    assert missing.returncode == 2
    assert "data.root" in missing.stderr


def test_the_leak_of_a_random_split_is_said_only_of_data_that_are_known_to_leak(
    svhn_folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether a photo shows several digits of one's own."""
    write_classes(svhn_folder / "mine", 10)
    load_splits(config(svhn_folder / "mine", split="random"))
    assert "leaks" not in caplog.text
    load_splits(data_config(svhn_folder, split="random"))  # somebody's, in the official format
    assert "leaks" not in caplog.text
    assert "data.split=random may leak: where a photo has several crops" in caplog.text
    monkeypatch.setattr(svhn, "_is_official", lambda *_: True)
    load_splits(data_config(svhn_folder, split="random", verify=True))
    assert "data.split=random leaks" in caplog.text


def test_a_turned_photo_with_notes_of_odd_types_is_read_as_it_was_held(tmp_path: Path) -> None:
    """TIFF's notes in a JPEG: orientation 6, and a resolution's unit of the type that has no meaning (7)."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255  # white on the left, which is the top once it is turned
    Image.fromarray(pixels).save(tmp_path / "plain.jpg", quality=95)
    notes = [(0x0112, 3, 6 << 16), (0x0128, 7, 0x32000000)]
    tiff = b"MM\0*" + struct.pack(">IH", 8, len(notes))
    tiff += b"".join(struct.pack(">HHII", tag, kind, 1, value) for tag, kind, value in notes) + bytes(4)
    block = b"Exif\0\0" + tiff
    plain = (tmp_path / "plain.jpg").read_bytes()
    file = tmp_path / "odd.jpg"
    file.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + plain[2:])
    image = read_image(file).float().mean(dim=0)
    assert image[4, 12:20].mean() > 200
    assert image[28, 12:20].mean() < 50


def test_damaged_notes_beside_a_whole_image_do_no_harm(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), (1, 2, 3))
    image.save(tmp_path / "odd.png", exif=b"Exif\0\0no TIFF at all")
    assert read_image(tmp_path / "odd.png")[:, 0, 0].tolist() == [1, 2, 3]


def test_ranges_beyond_sixteen_bits_and_values_that_are_none(tmp_path: Path) -> None:
    wide = np.full((32, 32), 1_000_000_000, np.int32)
    wide[:, 16:] = 2_000_000_000
    Image.fromarray(wide).save(tmp_path / "wide.tif")
    assert read_image(tmp_path / "wide.tif")[0, 0, [0, 31]].tolist() == [128, 255]
    values = np.full((32, 32), 2.0, np.float32)
    values[:, 16:] = 3
    values[0, 0], values[0, 31] = np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert read_image(tmp_path / "float.tif")[0, :2, [0, 31]].tolist() == [[0, 255], [0, 255]]


def test_the_transparent_level_of_sixteen_bits_is_white(tmp_path: Path) -> None:
    grey = np.full((32, 32), 10_000, np.uint16)
    grey[:, 16:] = 40_000
    Image.fromarray(grey).save(tmp_path / "clear.png", transparency=40_000)
    assert read_image(tmp_path / "clear.png")[0, 0, [0, 31]].tolist() == [39, 255]
