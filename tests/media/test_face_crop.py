"""The aligned crop: level, centred, framed as FER+, whatever the face's place, size and turn."""

import numpy as np
import pytest

from sidecar.faces import FaceLandmarks
from sidecar.media.face_crop import SIDE_PX, TEMPLATE, aligned_luma, crop_region, five_points
from tests.faces import found, portrait, turned


def similarity_of(points: np.ndarray, scale: float, degrees: float, shift: tuple[float, float]) -> FaceLandmarks:
    """A mesh whose five points are `points`, scaled, turned clockwise and shifted."""
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mesh = np.zeros((468, 3), np.float32)
    moved = scale * points @ rotation.T + shift
    for indices, point in zip(((33, 133), (263, 362), (1,), (61,), (291,)), moved, strict=True):
        mesh[list(indices), :2] = point
    return FaceLandmarks(mesh, 1.0)


@pytest.mark.parametrize(("scale", "degrees"), [(1, 0), (2.5, 20), (0.7, -75), (4, 170)])
def test_the_five_points_land_on_the_template(scale: float, degrees: float) -> None:
    face = similarity_of(TEMPLATE, scale, degrees, (80, 60))
    region = crop_region(face)
    assert region.side_px == pytest.approx(SIDE_PX * scale, rel=1e-5)
    assert np.degrees(region.angle_rad) == pytest.approx(degrees, abs=1e-3)
    np.testing.assert_allclose(region.to_crop(five_points(face), SIDE_PX), TEMPLATE, atol=1e-3)


def test_the_fit_is_the_least_squares_one() -> None:
    random = np.random.default_rng(0)
    face = similarity_of(TEMPLATE + random.normal(0, 1.5, (5, 2)), 2.0, 15, (50, 40))
    points = five_points(face).astype(np.float64)
    design = np.zeros((10, 4))  # x = a u - b v + c, y = b u + a v + d, solved by numpy
    design[0::2] = np.stack([TEMPLATE[:, 0], -TEMPLATE[:, 1], np.ones(5), np.zeros(5)], axis=1)
    design[1::2] = np.stack([TEMPLATE[:, 1], TEMPLATE[:, 0], np.zeros(5), np.ones(5)], axis=1)
    a, b, c, d = np.linalg.lstsq(design, points.ravel(), rcond=None)[0]
    region = crop_region(face)
    assert region.side_px == pytest.approx(SIDE_PX * np.hypot(a, b), rel=1e-4)
    assert region.angle_rad == pytest.approx(np.arctan2(b, a), abs=1e-5)
    middle = SIDE_PX / 2
    assert (region.x_px, region.y_px) == pytest.approx(
        (a * middle - b * middle + c, b * middle + a * middle + d), rel=1e-5
    )


def test_a_real_face_and_its_turned_picture_give_the_same_crop() -> None:
    upright = aligned_luma(portrait(), found(portrait()))
    assert upright.shape == (48, 48)
    assert upright.dtype == np.uint8
    lying = turned(portrait(), 30)
    again = aligned_luma(lying, found(lying))
    assert np.corrcoef(upright.ravel(), again.ravel())[0, 1] > 0.95


def test_luma_is_that_of_bt601() -> None:
    face = similarity_of(TEMPLATE, 2, 0, (0, 0))
    for rgb, luma in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((200, 200, 200), 200)):
        picture = np.broadcast_to(np.array(rgb, np.uint8), (96, 96, 3))
        np.testing.assert_array_equal(aligned_luma(picture, face), luma)


def test_a_mesh_without_extent_still_gives_a_crop() -> None:
    face = FaceLandmarks(np.full((468, 3), 5, np.float32), 1.0)
    assert aligned_luma(np.full((10, 10, 3), 9, np.uint8), face).shape == (48, 48)
