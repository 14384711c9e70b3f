"""Regions and their pixels: against plain bilinear sampling, at the edges, and of pictures of any size."""

import numpy as np
import pytest

from sidecar.affine import Region, resample
from sidecar.types import ByteArray


def slope(height: int, width: int) -> ByteArray:
    """Red grows to the right, green downwards: a colour tells its place."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.full_like(x, 7)], axis=2).astype(np.uint8)


def test_a_region_as_large_as_its_crop_is_the_picture_itself() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resample(picture, Region(16, 16, 32), 32), picture)


@pytest.mark.parametrize(
    "region", [Region(70, 60, 50, 0.3), Region(64, 64, 90, -2.0), Region(61, 70, 77), Region(50, 70, 60, np.pi / 2)]
)
def test_each_pixel_is_the_colour_of_its_place(region: Region) -> None:
    crop = resample(slope(128, 128), region, 48)
    middles = np.stack(np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5), axis=2).reshape(-1, 2)
    places = region.to_picture(middles.astype(np.float32), 48) - 0.5
    np.testing.assert_allclose(crop.reshape(-1, 3)[:, :2], places.clip(0, 127), atol=0.07)


def test_edge_pixels_repeat_outside_the_picture() -> None:
    crop = resample(slope(20, 20), Region(0, 10, 20), 20)
    assert (crop[:, :10, 0] == 0).all()
    assert crop[0, -1, 0] == 9


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_the_smallest_pictures_can_be_enlarged(shape: tuple[int, int]) -> None:
    crop = resample(np.full((*shape, 3), 77, np.uint8), Region(0.5, 0.5, 40, 0.7), 16)
    np.testing.assert_array_equal(crop, 77)


def test_a_region_wholly_outside_is_the_nearest_edge() -> None:
    np.testing.assert_array_equal(resample(slope(20, 20), Region(500, 500, 10), 8)[..., 0], 19)


def test_a_fine_pattern_is_averaged_not_aliased() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = resample(stripes, Region(128, 128, 200, 0.1), 64)
    assert abs(crop.mean() - 100) < 2
    assert crop.std() < 20


def test_points_go_to_the_crop_and_back() -> None:
    region = Region(30, 40, 25, 1.1)
    points = np.random.default_rng(0).uniform(0, 80, (10, 2)).astype(np.float32)
    np.testing.assert_allclose(region.to_picture(region.to_crop(points, 64), 64), points, atol=1e-3)


def test_depth_is_scaled_like_width() -> None:
    (point,) = Region(0, 0, 96, 0.5).to_picture(np.array([[24, 24, 10]], np.float32), 48)
    np.testing.assert_allclose(point, [0, 0, 20], atol=1e-5)
