"""Copies of images that were saved again with loss are found; pictures that resemble each other are none."""

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from lamina.data.copies import contents
from lamina.data.read import read_table
from lamina.data.schema import Schema
from lamina.fitting.split import split
from lamina.tasks.task import Task

RNG = np.random.default_rng(0)


def saved(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def numbers(*files):
    return contents(pl.Series("photo", files)).to_list()


def square(place, colour, size=12):
    pixels = np.full((64, 64, 3), 255, dtype=np.uint8)
    pixels[place : place + size, place : place + size] = colour
    return pixels


PHOTO = load_sample_image("china.jpg")
PARTS = [PHOTO[row : row + 96, column : column + 96] for row in (190, 230, 280, 330) for column in (0, 150, 300, 450)]
NOISE = list(RNG.integers(0, 256, (16, 13, 12, 3), dtype=np.uint8))
GRAY = [part[..., 0] for part in PARTS]


@pytest.mark.parametrize("images", [PARTS, NOISE, GRAY], ids=["photos", "noise", "gray"])
@pytest.mark.parametrize(("kind", "quality"), [("JPEG", 75), ("JPEG", 95), ("WEBP", 80)])
def test_copies_with_loss_are_found(images, kind, quality):
    originals = [saved(image, fmt) for image, fmt in zip(images, ["PNG", "BMP", "TIFF", "PNG"] * 4, strict=True)]
    found = numbers(*originals, *(saved(image, kind, quality=quality) for image in images[:5]))
    assert found == [*range(len(images)), *range(5)]


def test_a_jpeg_saved_again_and_one_that_is_rotated_by_its_exif_data():
    first = [saved(part, "JPEG", quality=92) for part in PARTS]
    again = saved(np.asarray(Image.open(io.BytesIO(first[3]))), "JPEG", quality=80)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(np.rot90(PARTS[5]), "JPEG", quality=95, exif=exif)
    assert numbers(*first, again, turned)[-2:] == [3, 5]


def test_a_lone_pair():
    assert numbers(saved(PARTS[0]), saved(PARTS[0], "JPEG")) == [0, 0]
    assert numbers(saved(PARTS[0]), saved(PARTS[1], "JPEG")) == [0, 1]


@pytest.mark.parametrize(
    "images",
    [
        [square(place, (200, 30, 30)) for place in range(0, 48, 4)],
        [square(20, colour) for colour in [(255, 0, 0), (0, 130, 0), (60, 60, 255), (76, 76, 76)]],  # of one brightness
        [np.where(square(4 * i, 0, 3) == 0, 0, PARTS[0][:64, :64]).astype(np.uint8) for i in range(8)],  # a detail differs
        [np.full((32, 32, 3), gray, dtype=np.uint8) for gray in range(100, 106)],
        [np.tile(np.roll(np.linspace(0, 255, 32).astype(np.uint8), shift), (32, 1)) for shift in range(0, 32, 2)],
        [PHOTO[150:350, left : left + 200] for left in (0, 1, 100, 102, 200, 201, 300, 302, 400)],
    ],
    ids=["place", "colour", "detail", "flat", "shift", "moved"],
)
def test_different_pictures_are_no_copies(images):
    found = numbers(*(saved(image, "JPEG", quality=90) for image in images))
    assert found == list(range(len(images)))
    found = numbers(saved(images[0]), *(saved(image, "JPEG", quality=90) for image in images[1:]))
    assert found == list(range(len(images)))


def test_one_photo_in_two_classes_is_said(tmp_path):
    for place, part in enumerate(PARTS):
        folder = tmp_path / ("cat" if place % 2 else "dog")
        folder.mkdir(exist_ok=True)
        (folder / f"{place}.png").write_bytes(saved(part))
    (tmp_path / "dog" / "again.jpg").write_bytes(saved(PARTS[1], "JPEG", quality=85))
    table = read_table(tmp_path)
    schema = Schema.infer(table, target="label")
    (note,) = [note for note in split(table, schema, Task.infer(table, "label")).notes if "another class" in note]
    assert "2 rows have the same image as a row of another class, such as" in note
    assert "again.jpg' in 'dog'" in note
    assert "1.png' in 'cat'" in note
