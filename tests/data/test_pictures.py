"""Image files: every mode and form gives the pixels that a person sees; what cannot be read is one line."""

import io
import os
import time
import warnings
import zlib

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps

from lamina.data import pictures
from lamina.data.copies import contents
from lamina.data.pictures import Header, read_headers, read_pixels, readable_headers, scaled
from lamina.errors import ReadError

NOISE = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)


def file_bytes(image, kind="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(data, height=8, width=6, channels=3):
    return read_pixels(pl.Series("photo", [data], dtype=pl.Binary), height, width, channels)[0]


def header(data):
    return read_headers(pl.Series("photo", [data], dtype=pl.Binary))[0]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_lossless_file_gives_its_pixels(kind):
    data = file_bytes(NOISE, kind)
    assert header(data) == Header(8, 6, False, False)
    np.testing.assert_array_equal(read(data), NOISE)
    np.testing.assert_array_equal(read(data, channels=1)[..., 0], np.asarray(Image.fromarray(NOISE).convert("L")))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_a_lossy_file_gives_what_pillow_gives(kind):
    data = file_bytes(NOISE, kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(read(data), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_eight_bits(mode):
    gray = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    if mode in ("I;16", "I", "F"):
        white = 1 if mode == "F" else 65535
        image = Image.fromarray((gray / 255 * white).astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    else:
        image = Image.fromarray(gray).convert("RGB").convert(mode)
    assert image.mode == mode
    data = file_bytes(image, "TIFF")
    assert header(data).gray == (mode not in ("P", "RGBA", "CMYK"))
    np.testing.assert_array_equal(read(data, 2, 2, 1)[..., 0], gray)
    np.testing.assert_array_equal(read(data, 2, 2, 3), np.repeat(gray[..., None], 3, 2))


def test_sixteen_bits_are_scaled():
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    assert read(file_bytes(values), 1, 4, 1).ravel().tolist() == [0, 1, 128, 255]


def test_transparency_lies_on_white():
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], dtype=np.uint8)
    assert read(file_bytes(rgba), 1, 2).tolist() == [[[255, 255, 255], [10, 20, 30]]]
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 0, 0, 200])
    assert read(file_bytes(palette, transparency=0), 1, 2).tolist() == [[[255, 255, 255], [0, 0, 200]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_bytes(NOISE, kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    found = header(data)
    assert (found.height, found.width) == expected.shape[:2] == ((8, 6) if orientation < 5 else (6, 8))
    np.testing.assert_array_equal(read(data, found.height, found.width), expected)


def test_damaged_exif_says_nothing():
    data = file_bytes(NOISE, exif=b"Exif\0\0MM*no exif at all")
    np.testing.assert_array_equal(read(data), NOISE)


def test_the_first_picture_of_an_animation_is_taken():
    frames = [Image.new("RGB", (6, 8), colour) for colour in ("red", "blue")]
    data = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert header(data).several
    assert read(data)[0, 0].tolist() == [255, 0, 0]


def test_other_sizes_are_resized_without_aliasing():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    np.testing.assert_allclose(read(file_bytes(stripes), 8, 8, 1), 127.5, atol=25)
    expected = Image.fromarray(NOISE).resize((5, 3), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(read(file_bytes(NOISE), 3, 5), np.asarray(expected))
    slope = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
    np.testing.assert_allclose(read(file_bytes(slope, "JPEG"), 24, 32, 1)[12, :, 0], (np.arange(32) + 0.5) * 255 / 32, atol=3)


def test_rows_stay_in_order_and_missing_ones_are_zero(tmp_path):
    paths = []
    for shade in range(200):
        paths.append(str(tmp_path / f"{shade}.png"))
        Image.new("L", (2, 2), shade).save(paths[-1])
    values = pl.Series("photo", [*paths[:100], None, *paths[100:]])
    pixels = read_pixels(values, 2, 2, 1)
    assert pixels[:, 1, 1, 0].tolist() == [*range(100), 0, *range(100, 200)]
    assert len(read_headers(values)) == 200


def test_all_that_cannot_be_read_is_told_at_once(tmp_path):
    good = file_bytes(NOISE)
    contents = {
        "good.png": good, "cut.png": good[:-60], "head.png": good[:20], "empty.png": b"", "text.jpg": b"hello, world",
        "cut.jpg": file_bytes(NOISE, "JPEG")[:-30],
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.png").mkdir()
    names = [*contents, "lost.png", "folder.png"]
    values = pl.Series("photo", [str(tmp_path / name) for name in names])
    for function in (read_headers, lambda values: read_pixels(values, 8, 6, 3)):
        with pytest.raises(ReadError) as caught:
            function(values)
        message = str(caught.value)
        assert message.startswith(f"column 'photo': 7 of 8 images cannot be read: row 2 ({tmp_path / 'cut.png'}) is truncated")
        assert "head.png) is truncated or damaged" in message
        assert "empty.png) is empty (0 bytes)" in message
        assert "text.jpg) is no image of a supported format (it begins with b'hello, world'); supported are PNG" in message
        assert message.endswith("; and 2 more; replace them, leave them empty, or skip them (skip_bad=True, --skip-bad)")
    assert len(readable_headers(values)) == 3  # truncated files have a valid header
    for name, fault in [("lost.png", "does not exist"), ("folder.png", "cannot be opened: Is a directory")]:
        with pytest.raises(ReadError, match=rf"1 of 1 image cannot be read: row 1 \(.*{name}\) {fault}; replace it, leave it"):
            read_headers(pl.Series("photo", [str(tmp_path / name)]))


def test_a_side_that_is_claimed_is_checked_before_decoding():
    data = bytearray(file_bytes(NOISE))
    data[16:24] = (1).to_bytes(4, "big") + (80_000_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(ReadError, match="row 1 is 1 x 80,000,000 pixels, more than 65,535 on a side; scale it down"):
        read(bytes(data))


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(pictures, "LARGE", 40)
    running, most = 0, 0

    def work(row, image):
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.001)
        running -= 1

    values = pl.Series("photo", [file_bytes(NOISE)] * 20, dtype=pl.Binary)
    pictures.each(values, work)
    assert most == 1


@pytest.mark.parametrize("most", [40, 20])
def test_a_decompression_bomb_is_refused(monkeypatch, most):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)  # beyond it Pillow warns, beyond its double it raises
    with pytest.raises(ReadError, match=r"row 1 has 48 pixels, more than the safe limit of \d\d; scale it down"):
        read(file_bytes(NOISE))


@pytest.mark.parametrize("values", [[-1.0, 0.5], [0.0, 300.0], [0.0, np.nan]])
def test_floats_on_no_known_scale_are_refused(values):
    data = file_bytes(np.array([values], dtype=np.float32), "TIFF")
    with pytest.raises(ReadError, match=r"holds values from .* to .*, expected 0 to \d+; scale it, or give arrays"):
        read(data, 1, 2, 1)


def test_odd_metadata_is_no_warning(monkeypatch):
    load = Image.Image.getexif

    def noisy(self):
        warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=2)
        return load(self)

    monkeypatch.setattr(Image.Image, "getexif", noisy)
    np.testing.assert_array_equal(read(file_bytes(NOISE)), NOISE)


def test_scaled():
    values = np.array([-2.0, -1.0, 0.0, 1.0, np.nan, np.inf, -np.inf])
    assert scaled(values, -1, 1).tolist() == [0, 0, 128, 255, 0, 255, 0]
    assert scaled(NOISE, 0, 255) is NOISE


def test_contents_are_equal_where_the_bytes_or_the_pixels_are(tmp_path):
    gray = Image.fromarray(NOISE[..., 0])
    (tmp_path / "1.png").write_bytes(file_bytes(NOISE))
    (tmp_path / "copy.png").write_bytes(file_bytes(NOISE))
    Image.fromarray(NOISE).save(tmp_path / "best.png", compress_level=9)
    for name, options in {"1.bmp": {}, "1.tif": {}, "1.webp": {"lossless": True}, "1.ppm": {}}.items():
        Image.fromarray(NOISE).save(tmp_path / name, **options)
    (tmp_path / "other.png").write_bytes(file_bytes(NOISE[::-1]))  # of the same size in bytes and pixels
    gray.save(tmp_path / "gray.png")
    gray.convert("RGB").save(tmp_path / "coloured gray.png")
    gray.save(tmp_path / "2.jpg")
    Image.open(tmp_path / "2.jpg").save(tmp_path / "2.png")
    (tmp_path / "cut.png").write_bytes(file_bytes(NOISE)[:-60])
    names = ["1.png", "copy.png", "best.png", "1.bmp", "1.tif", "1.webp", "1.ppm", "other.png", "gray.png", "coloured gray.png"]
    names += ["2.jpg", "2.png", "cut.png", "lost.png"]
    paths = [str(tmp_path / name) for name in names]
    found = contents(pl.Series("photo", [*paths, None, paths[0]])).to_list()
    assert found[:7] == [found[0]] * 7
    assert found[8] == found[9]
    assert found[10] == found[11]
    assert found[8] == found[10]  # a JPEG of it
    assert len({found[place] for place in (0, 7, 8, 12, 13)}) == 5
    assert found[14:] == [None, found[0]]
    assert contents(pl.Series("photo", [file_bytes(NOISE), file_bytes(NOISE, "BMP"), b"x"])).to_list() == [0, 0, 2]


def test_deep_images_are_compared_in_full():
    values = np.array([[1, 2], [3, 4]], dtype=np.uint16)
    files = [file_bytes(values), file_bytes(values, "TIFF"), file_bytes(values + 1)]
    assert contents(pl.Series("scan", files)).to_list() == [0, 0, 2]


def test_contents_of_many_files_are_cheap(tmp_path, monkeypatch):
    """Files of differing sizes are not read, and photos of differing extents not decoded."""
    paths = [str(tmp_path / f"{side}.png") for side in range(1, 40)]
    for side, path in enumerate(paths, 1):
        Image.new("L", (side, 1)).save(path)
        with open(path, "ab") as file:
            file.write(bytes(100 * side))
    for name in ("_digest", "upright"):
        monkeypatch.setattr(f"lamina.data.copies.{name}", None)
    assert contents(pl.Series(paths)).n_unique() == len(paths)


def test_a_pipe_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    with pytest.raises(ReadError, match=r"1.png\) is a pipe or a device, expected a file; replace it"):
        read_headers(pl.Series("photo", [str(tmp_path / "1.png")]))
