"""Images: the guess of the kind, and the encoding as pixels."""

import io
import json
import struct
import time
import zlib

import numpy as np
import polars as pl
import pytest
from PIL import Image

from lamina.data.columns.column import Values
from lamina.data.columns.image import Image as ImageKind
from lamina.data.columns.image import ImageBlock
from lamina.data.encoding import Encoding, Input
from lamina.data.frames import objects
from lamina.data.schema import Column
from lamina.errors import ReadError, SchemaError

NOISE = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
NOISE[0, 0, 0] = 255
KIND = ImageKind()


def guess(column):
    return KIND.guess(Values(column))


def coerce(column):
    return KIND.coerce(column)


def check(column, values):
    return KIND.check(column, values, [])


def arrays(values, name="photo"):
    return pl.Series(name, values)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def files(images, name="photo"):
    return pl.Series(name, [None if image is None else png(image) for image in images], dtype=pl.Binary)


def fit(values, **encoding):
    return ImageBlock.fit(values, Encoding(**encoding), "image")


def trained(values):
    found = coerce(values)
    return Column(values.name, found.kind, "feature", found.reason, found.details)


def test_arrays_are_images():
    found = guess(arrays(NOISE))
    assert (found.kind, found.reason) == ("image", "5 images of 8 x 6, colour")
    assert found.details == {
        "dtype": "Array(UInt8, shape=(8, 6, 3))",
        "missing": 0.0,
        "source": "arrays",
        "channels": 3,
        "sizes": [[8, 6], [8, 6]],
    }
    assert guess(arrays(NOISE[..., 0])).reason == "5 images of 8 x 6, gray"
    assert guess(arrays(NOISE / 255)).reason == "5 images of 8 x 6, colour"


def test_arrays_that_may_be_series_are_images_only_if_given():
    values = arrays(NOISE[..., 0] / 255)
    assert guess(values) is None
    assert coerce(values).reason == "given; 5 images of 8 x 6, gray"


def test_channels_first_is_said():
    found = guess(arrays(np.moveaxis(NOISE, 3, 1)))
    assert (found.kind, found.details["missing"]) == ("other", 0)
    assert found.reason == "arrays of 3 x 8 x 6; expected channels last for images: numpy.moveaxis(images, 1, -1)"


def test_bytes_are_images():
    values = files([*NOISE, None, NOISE[0, :4, :4]])
    found = guess(values)
    assert (found.kind, found.reason) == ("image", "6 images from 4 x 4 to 8 x 6, colour")
    assert found.details["source"] == "bytes"
    assert found.details["missing"] == pytest.approx(1 / 7, abs=1e-6)
    assert guess(pl.Series("x", [b"abc", b"def"])) is None
    assert guess(files([None, None])) is None
    assert coerce(files([None])) is None


def test_paths_are_images(tmp_path):
    paths = []
    for place, image in enumerate(NOISE):
        paths.append(str(tmp_path / f"{place}.PNG"))
        Image.fromarray(image[..., 0]).save(paths[-1])
    assert guess(pl.Series("photo", [*paths, None])).reason == "5 images of 8 x 6, gray"
    assert guess(pl.Series("photo", paths)).details["source"] == "paths"
    assert (
        guess(pl.Series("photo", [*paths, str(tmp_path / "lost.png")])).kind == "image"
    )  # an error when it is read for training
    lost = guess(pl.Series("photo", ["a.png", "b.png"]))
    assert lost.kind == "other"
    assert lost.reason == "names of image files that do not exist, such as 'a.png'; give paths relative to the current folder"
    assert guess(pl.Series("logo", ["a.png", "b.png"] * 10)) is None  # a category
    assert guess(pl.Series("name", ["Ann", "Bob"])) is None
    assert coerce(pl.Series("photo", ["a.png"])).reason == "given; 1 image that cannot be read"


@pytest.mark.parametrize("values", [[1, 2], [[1.0, 2.0]], [[[[1]]]]])
def test_what_cannot_be_images(values):
    assert guess(pl.Series("x", values)) is None
    assert coerce(pl.Series("x", values)) is None


def test_check_takes_every_source():
    column = trained(arrays(NOISE))
    for values in (arrays(NOISE), files(NOISE), pl.Series("photo", ["a.png"]), arrays(NOISE[:, :3, :3, 0])):
        assert check(column, values).equals(values)
    assert check(column, pl.Series("photo", ["a.png"], dtype=pl.Categorical)).dtype == pl.String
    assert check(column, pl.Series("photo", [None])).dtype == pl.String


def test_check_refuses_what_is_no_image():
    with pytest.raises(SchemaError, match="column 'photo' holds Int64, expected images as in training; give paths or bytes"):
        check(trained(arrays(NOISE)), pl.Series("photo", [1]))
    with pytest.raises(SchemaError, match=r"holds Array\(UInt8, shape=\(3, 8, 6\)\), expected images .* channels last"):
        check(trained(arrays(NOISE)), arrays(np.moveaxis(NOISE, 3, 1)))
    with pytest.raises(
        SchemaError, match=r"holds images as Array\(Float64.*UInt8.* as in training; give image files, or arrays of uint8"
    ):
        check(trained(arrays(NOISE)), arrays(NOISE / 255))
    with pytest.raises(SchemaError, match=r"holds images as Array\(UInt8.*Float64.* as in training; give arrays of floats"):
        check(trained(arrays(NOISE / 255)), arrays(NOISE))


def test_arrays_are_shared():
    values = arrays(NOISE)
    block = fit(values)
    assert block.inputs == {"image": Input((8, 6, 3), ("photo",), kind="image")}
    pixels = block.transform(values)["image"]
    np.testing.assert_array_equal(pixels, NOISE)
    assert np.shares_memory(pixels, values.to_numpy())
    assert block.notes == ()
    assert block.remarks(values) == []
    assert block.transform(values[:0])["image"].shape == (0, 8, 6, 3)


def test_arrays_are_fast():
    images = np.full((60_000, 28, 28), 7, dtype=np.uint8)
    images[0] = 255
    values = arrays(images)
    start = time.perf_counter()
    block = fit(values)
    block.transform(values)
    assert time.perf_counter() - start < 0.5


def test_files_and_arrays_give_the_same():
    block = fit(files(NOISE))
    assert block == fit(arrays(NOISE))
    np.testing.assert_array_equal(block.transform(files(NOISE))["image"], NOISE)
    small = NOISE[:, :5, :4]
    of_files, of_arrays = block.transform(files(small))["image"], block.transform(arrays(small))["image"]
    np.testing.assert_array_equal(of_files, of_arrays)
    gray = fit(arrays(NOISE[..., 0]))
    np.testing.assert_array_equal(gray.transform(files(NOISE))["image"], gray.transform(arrays(NOISE))["image"])
    np.testing.assert_array_equal(block.transform(arrays(NOISE[..., 0]))["image"], np.repeat(NOISE[..., :1], 3, axis=3))


def test_missing_images_are_zero():
    colour = fit(arrays(NOISE))
    rgba = pl.Series("photo", [np.full((8, 6, 4), 9).tolist(), None], dtype=pl.Array(pl.UInt8, (8, 6, 4)))
    for values in (files([NOISE[1], None]), rgba):
        pixels = colour.transform(values)["image"]
        assert pixels[0].any()
        assert not pixels[1].any()
    floats = pl.Series("photo", [[[-4.0, 4.0]], None, [[0.0, None]]], dtype=pl.Array(pl.Float32, (1, 2)))
    assert fit(floats).transform(floats)["image"][..., 0].tolist() == [[[0, 255]], [[0, 0]], [[128, 0]]]
    holes = pl.Series("photo", [[[7, None], [255, 3]]], dtype=pl.Array(pl.UInt8, (2, 2)))
    assert fit(holes).transform(holes)["image"][..., 0].tolist() == [[[7, 0], [255, 3]]]
    nothing = pl.Series("photo", [None, None], dtype=pl.String)
    assert not colour.transform(nothing)["image"].any()
    assert colour.remarks(nothing) == []


def test_transparency_in_arrays_lies_on_white():
    rgba = np.array([[[[10, 20, 30, 0], [10, 20, 30, 255]], [[0, 0, 0, 51], [0, 100, 0, 51]]]], dtype=np.uint8)
    expected = [[[[255, 255, 255], [10, 20, 30]], [[204, 204, 204], [204, 224, 204]]]]
    assert fit(arrays(rgba)).transform(arrays(rgba))["image"].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255], ""),
        ([0.0, 16.4, 200.0], [0, 16, 200], ""),
        ([-1.0, 0.0, 1.0], [0, 128, 255], "photo: values from -1 to 1 are scaled to 0 to 255"),
        ([0.0, 500.0, 1000.0], [0, 128, 255], "photo: values from 0 to 1000 are scaled to 0 to 255"),
        ([300.0, 300.0, 300.0], [0, 0, 0], "photo: values from 300 to 301 are scaled to 0 to 255"),
        ([0.0, np.nan, np.inf], [0, 0, 255], ""),
    ],
)
def test_floats_are_scaled(values, expected, note):
    column = arrays(np.array(values).reshape(1, 1, 3))
    block = fit(column)
    assert block.transform(column)["image"].ravel().tolist() == expected
    assert block.notes == ((note,) if note else ())


def test_zeros_and_ones_are_black_and_white():
    for values in (np.array([[[0, 1]]], dtype=np.uint8), np.array([[[False, True]]])):
        assert fit(arrays(values)).transform(arrays(values))["image"].ravel().tolist() == [0, 255]


def test_the_scale_is_the_learnt_one():
    block = fit(arrays(np.array([[[-1.0, 1.0]]])))
    later = arrays(np.array([[[0.0, 3.0]]]))
    assert block.transform(later)["image"].ravel().tolist() == [128, 255]
    assert block.remarks(later) == ["photo: values outside the training range -1..1, clipped"]
    assert block.remarks(arrays(np.array([[[-0.5, 0.5]]]))) == []


def test_the_size():
    tall, wide = np.zeros((400, 100), dtype=np.uint8), np.zeros((20, 30), dtype=np.uint8)
    assert fit(files([wide, wide])).inputs["image"].shape == (20, 30, 1)
    block = fit(files([tall, tall, wide]))
    assert block.inputs["image"].shape == (224, 56, 1)
    assert block.notes == ("photo: all images are resized to 224 x 56 (height x width)",)
    block = fit(files([wide, wide, None, tall, wide]))
    assert block.inputs["image"].shape == (20, 30, 1)
    assert block.notes == ("photo: 1 of 4 images are resized to 20 x 30 (height x width)",)
    assert fit(files([wide, tall]), image_size=16).inputs["image"].shape == (16, 16, 1)
    assert fit(arrays(NOISE), image_size=16).transform(arrays(NOISE))["image"].shape == (5, 16, 16, 3)
    assert fit(arrays(np.zeros((1, 500, 300), dtype=np.uint8))).inputs["image"].shape == (224, 134, 1)


def test_images_are_gray_only_if_all_are():
    assert fit(files([NOISE[0, ..., 0], NOISE[1, ..., 0]])).channels == 1
    assert fit(files([NOISE[0, ..., 0], NOISE[1]])).channels == 3


def test_remarks():
    block = fit(files(NOISE[..., 0]))
    assert block.remarks(files([NOISE[0], NOISE[1, :4, :4, 0]])) == [
        "photo: 1 image resized to 8 x 6, the size of training",
        "photo: 1 image in colour converted to gray, as in training",
    ]
    assert block.remarks(arrays(NOISE[:, :4])) == [
        "photo: 5 images resized to 8 x 6, the size of training",
        "photo: 5 images in colour converted to gray, as in training",
    ]
    file = io.BytesIO()
    Image.new("L", (6, 8), 0).save(file, "GIF", save_all=True, append_images=[Image.new("L", (6, 8), 255)])
    animated = pl.Series("photo", [file.getvalue()])
    note = "photo: 1 image with several frames (animations, pages): the first is used"
    assert note in block.remarks(animated)
    assert fit(animated).notes == (note,)


def test_what_cannot_be_read_is_refused():
    good = png(NOISE[0])
    damaged = pl.Series("photo", [good, b"", None, good[:-60]])
    for refuse in (fit, fit(files(NOISE)).transform, fit(files(NOISE)).remarks):
        with pytest.raises(
            ReadError, match=r"'photo': 2 of 3 images cannot be read: row 2 is empty \(0 bytes\); row 4 is trunc"
        ):
            refuse(damaged)
    with pytest.raises(SchemaError, match="column 'photo' has no image in any training row; drop it"):
        fit(files([None, None]))


def test_json():
    block = fit(arrays(NOISE * np.float32(3)), image_size=4)
    assert block.notes
    assert ImageBlock.from_json(json.loads(json.dumps(block.to_json()))) == block


def deep(values, kind="TIFF"):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


DARK = NOISE[..., 0].astype(np.uint16) // 2
STEPS = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_sixteen_bit_files_of_few_values_are_read_as_eight_bit_ones(kind):
    column = pl.Series("scan", [deep(image, kind) for image in DARK])
    block = fit(column)
    np.testing.assert_array_equal(block.transform(column)["image"][..., 0], DARK)
    assert block.notes == ("scan: 5 images of more than 8 bits per channel: values from 0 to 255 are scaled to 0 to 255",)


@pytest.mark.parametrize(("low", "high"), [(0, 1023), (0, 4095), (40, 3900), (29_000, 31_000), (0, 65_535)])
def test_sixteen_bit_files_are_scaled_by_training_images(low, high):
    scans = [(low + STEPS * ((high - low) / 11) * share).astype(np.uint16) for share in (1, 0.5)]
    column = pl.Series("scan", [deep(scan) for scan in scans])
    block = fit(column)
    pixels = block.transform(column)["image"][..., 0]
    np.testing.assert_allclose(pixels[0], STEPS * (255 / 11), atol=1)
    np.testing.assert_allclose(pixels[1], STEPS * (255 / 22), atol=1)
    again = ImageBlock.from_json(json.loads(json.dumps(block.to_json())))
    for later in (column[1:], pl.Series("scan", [deep(scans[1], "PNG")]), objects("scan", [Image.fromarray(scans[1])])):
        np.testing.assert_array_equal(again.transform(later)["image"][0, ..., 0], pixels[1])
    trained_column = trained(column)
    for array in (arrays(np.stack(scans[1:]).astype(np.float32), "scan"), objects("scan", scans[1:])):
        np.testing.assert_array_equal(again.transform(check(trained_column, array))["image"][0, ..., 0], pixels[1])
    brighter = pl.Series("scan", [deep(np.full((3, 4), min(high + 200, 65_535), dtype=np.uint16))])
    assert again.transform(brighter)["image"].min() == 255
    outside = [f"scan: values outside the training range {low}..{high}, clipped"] if high < 65_535 else []
    assert (again.remarks(brighter), again.remarks(column)) == (outside, [])


def test_a_few_dead_pixels_do_not_set_the_scale():
    scan = np.tile(np.arange(0, 1000, 10, dtype=np.uint16), (100, 1))
    scan[5, 5] = 65_535
    block = fit(pl.Series("scan", [deep(scan)]))
    assert (block.low, block.high) == (0, 990)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (-1, 1), (0, 1000)])
def test_files_of_floats_are_scaled_by_training_images(low, high):
    floats = (low + STEPS * ((high - low) / 11)).astype(np.float32)
    block = fit(pl.Series("scan", [deep(floats)]))
    for later in (pl.Series("scan", [deep(floats)]), objects("scan", [Image.fromarray(floats)])):
        np.testing.assert_allclose(block.transform(later)["image"][0, ..., 0], STEPS * (255 / 11), atol=1)
    holes = floats.copy()
    holes[0, 0] = np.nan
    assert fit(pl.Series("scan", [deep(holes)])).transform(pl.Series("scan", [deep(holes)]))["image"][0, 0, 0, 0] == 0


def test_eight_bit_images_beside_deep_ones_stay_as_they_are():
    scans = pl.Series("scan", [deep(STEPS * 300), png(DARK[0].astype(np.uint8)[:3, :4])])
    block = fit(scans)
    np.testing.assert_array_equal(block.transform(scans)["image"][1, ..., 0], DARK[0, :3, :4])
    eight = arrays(DARK[:1, :3, :4].astype(np.uint8), "scan")
    np.testing.assert_array_equal(block.transform(check(trained(scans), eight))["image"][0, ..., 0], DARK[0, :3, :4])
    assert block.remarks(eight) == []


def test_a_model_of_eight_bit_images_reads_the_full_range_of_sixteen_bits_and_says_so():
    block, later = fit(files(DARK.astype(np.uint8))), pl.Series("photo", [deep(np.full((8, 6), 65_535, dtype=np.uint16))])
    assert block.transform(later)["image"].min() == 255
    note = "photo: 1 image of more than 8 bits per channel, unlike training images: white is 65535, or 1 in floats"
    assert block.remarks(later) == [note]


def test_colours_of_sixteen_bits_are_a_note():
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.repeat(STEPS * 5000, 3, axis=1).astype(">u2")))
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))  # noqa: E731
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0))
    colour = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    block = fit(pl.Series("scan", [colour]))
    assert block.notes[0].startswith("scan: 1 image in colour with 16 bits per channel: only the upper 8 bits are read")
    assert block.transform(pl.Series("scan", [colour]))["image"][0, 2, 3].tolist() == [55_000 // 256] * 3


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_gray_arrays_of_many_values_and_differing_sizes(dtype):
    arrays = [np.full((8 + row % 3, 9 + row % 2, 1), 1000 * row, dtype) for row in range(6)]
    column = objects("image", arrays[:4])
    assert guess(column).reason == "4 images from 8 x 9 to 10 x 9, gray"
    block = ImageBlock.fit(column, Encoding(), "image")
    assert block.transform(column)["image"][:, 0, 0, 0].tolist() == [0, 85, 170, 255]
    assert block.transform(objects("image", arrays[2:3]))["image"][0, 0, 0, 0] == 170  # of one shape
    if dtype == np.uint16:
        assert objects("image", [array[:, :, 0] for array in arrays]).dtype == pl.Binary
