"""Augmentation: what each way does to pixels, that every row has its own draw, and that a seed decides it all."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lamina.errors import OptionError
from lamina.train.augment import WAYS, Augment


def noise(rows=64, height=16, width=24, channels=3):
    return torch.randint(1, 256, (rows, height, width, channels), dtype=torch.uint8)


def changed(images, *ways):
    return Augment(ways)(images.clone())


@pytest.mark.parametrize("ways", [(way,) for way in WAYS] + [WAYS])
def test_in_place_row_by_row_and_decided_by_the_seed(ways):
    torch.manual_seed(0)
    images = noise(1).repeat(64, 1, 1, 1)
    before, augment = images.clone(), Augment(ways)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        images.copy_(before)
        assert augment(images) is images
        assert (images.shape, images.dtype) == (before.shape, torch.uint8)
        results.append(images.clone())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert len(results[0].flatten(1).unique(dim=0)) > (1 if ways == ("flip",) else 16)
    assert not torch.equal(results[0], before)


def test_no_augmentation_changes_nothing():
    torch.manual_seed(0)
    images = noise()
    assert torch.equal(changed(images), images)


def test_shift():
    torch.manual_seed(0)
    images = noise(500, 8, 16, 1)
    moved = changed(images, "shift")
    bordered = torch.nn.functional.pad(images, (0, 0, 2, 2, 1, 1))
    places = [(down, right) for down in range(3) for right in range(5)]
    shifted = torch.stack([bordered[:, down : down + 8, right : right + 16] for down, right in places])
    matches = (shifted == moved).flatten(2).all(2)
    assert matches.sum(0).eq(1).all()  # each image is shifted by at most an eighth
    assert matches.sum(1).min() > 10  # in every direction


def test_shift_goes_as_far_as_he_et_al():
    torch.manual_seed(0)
    edges = changed(noise(500, 32, 32, 1), "shift")[:, :, 16, 0] == 0
    assert edges.sum(1).max() == 4


def test_flip():
    torch.manual_seed(0)
    images = noise(1000)
    flipped = changed(images, "flip")
    same, mirrored = ((flipped == other).flatten(1).all(1) for other in (images, images.flip(2)))
    assert (same | mirrored).all()
    assert 400 < int(mirrored.sum()) < 600
    symmetric = torch.cat([images, images.flip(2)], 2)
    assert torch.equal(changed(symmetric, "flip"), symmetric)


def test_rotate_keeps_the_middle_and_turns_the_rest():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(33) - 16, torch.arange(65) - 32, indexing="ij")
    radius = (x**2 + y**2).float().sqrt()
    disc = (radius < 10).to(torch.uint8)[None, :, :, None].repeat(100, 1, 1, 1) * 200
    turned = changed(disc, "rotate")
    assert (turned[:, radius < 8.5] == 200).all()  # a circle stays one, however unequal the sides
    assert (turned[:, radius > 11.5] == 0).all()
    bar = torch.zeros(400, 33, 65, 1, dtype=torch.uint8)
    bar[:, 15:18] = 255
    tops = changed(bar, "rotate")[:, :, 52, 0].float()
    drop = (tops * (torch.arange(33.0) - 16)).sum(1) / tops.sum(1)  # where the bar is 20 pixels right of the middle
    angles = torch.atan(drop / 20) * 180 / math.pi
    assert 9 < angles.max() < 10.5
    assert -10.5 < angles.min() < -9


def test_crop_fills_the_image():
    torch.manual_seed(0)
    slope = torch.arange(32, dtype=torch.uint8).mul(8)[None, None, :, None].expand(1000, 32, 32, 1)
    cropped = changed(slope, "crop").float()[:, 16, :, 0]
    share = (cropped[:, 30] - cropped[:, 1]) / (29 * 8)  # how much of the width is left
    assert share.max() <= 1.01
    assert share.min() >= math.sqrt(0.7 * 3 / 4) - 0.02
    assert share.std() > 0.05
    assert (cropped[:, 1:-1] > 0).all()
    plain = torch.full((10, 9, 7, 3), 77, dtype=torch.uint8)
    inside = changed(plain, "crop")[:, 1:-1, 1:-1]
    assert (inside == 77).all()


def test_erase():
    torch.manual_seed(0)
    images = noise(2000, 20, 30, 1)
    erased = changed(images, "erase")
    gone = (erased == 0)[..., 0]
    assert torch.equal(erased[~gone], images[~gone])
    some = gone.flatten(1).any(1)
    assert 900 < int(some.sum()) < 1100
    rows, columns = gone.any(2).sum(1), gone.any(1).sum(1)
    assert torch.equal(gone.sum((1, 2)), rows * columns)  # a rectangle
    shares = gone[some].float().mean((1, 2))
    assert 0.005 < shares.min() < 0.03
    assert 0.35 < shares.max() < 0.43


def test_nothing_depends_on_data():
    """Tensors without data refuse whatever would have to wait for it, as a CUDA graph does."""
    with FakeTensorMode():
        images = torch.empty(4, 16, 24, 3, dtype=torch.uint8)
        assert Augment()(images) is images


def test_unknown_way():
    with pytest.raises(
        OptionError, match="augment has 'zoom', expected some of shift, crop, flip, rotate, erase; leave it out"
    ):
        Augment(("flip", "zoom"))
