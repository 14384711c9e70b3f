"""Blur, noise, darkness, flatness, distance and turning away lower quality, step by step, on a real face."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest

from sidecar.affine import Region, resample
from sidecar.faces import FaceLandmarks
from sidecar.media.face_pose import HeadPose, turned_to_camera
from sidecar.media.face_quality import face_quality, noise_deviation
from sidecar.types import ByteArray
from tests.faces import clip, found, portrait

NOISE = np.random.default_rng(0).normal(0, 1, (600, 800, 3))


def blurred(rgb: ByteArray, times: float) -> ByteArray:
    """`times` passes of a small binomial kernel in both directions."""
    picture = rgb.astype(np.float32)
    for _ in range(int(times)):
        for axis in (0, 1):
            picture = (np.roll(picture, 1, axis) + 2 * picture + np.roll(picture, -1, axis)) / 4
    return picture.astype(np.uint8)


def noisy(rgb: ByteArray, deviation: float) -> ByteArray:
    grain = NOISE[: rgb.shape[0], : rgb.shape[1]] * deviation
    return (rgb + grain).clip(0, 255).astype(np.uint8)


def darkened(rgb: ByteArray, stops: float) -> ByteArray:
    return (rgb * 2.0**-stops).astype(np.uint8)


def flattened(rgb: ByteArray, stops: float) -> ByteArray:
    return (128 + (rgb - 128.0) * 2.0**-stops).astype(np.uint8)


def pictures() -> list[ByteArray]:
    return [portrait(), *clip("single_face.jpg"), clip("lbax4n.mpg", every=40)[0]]


def falls(values: Iterable[float]) -> bool:
    """Each value is below the one before."""
    return all(after < before for before, after in pairwise(values))


@pytest.mark.parametrize(
    ("worse", "steps"),
    [
        (blurred, (0, 2, 6, 12, 24, 48)),
        (noisy, (0, 4, 8, 16, 24, 36)),
        (darkened, (0, 0.5, 1, 2, 3, 4)),
        (flattened, (0, 0.5, 1, 2, 3)),
    ],
)
def test_each_step_of_damage_lowers_it(
    worse: Callable[[ByteArray, float], ByteArray], steps: tuple[float, ...]
) -> None:
    for rgb in pictures():
        face = found(rgb)
        _, pose = turned_to_camera(face)
        ladder = [face_quality(worse(rgb, step), face, pose).overall for step in steps]
        assert falls(ladder), ladder
        assert ladder[0] > 0.6
        assert ladder[-1] < 0.75 * ladder[0]


def test_a_face_further_away_is_worse() -> None:
    ladder = []
    for side in (512, 300, 200, 130, 80):
        small = resample(portrait(), Region(256, 256, 512), side).astype(np.uint8)
        whole = found(portrait())
        face = FaceLandmarks(whole.points * np.float32(side / 512), 1.0)
        ladder.append(face_quality(small, face, HeadPose(0, 0, 0)).size)
    assert falls(ladder), ladder


def test_a_face_turned_away_is_worse() -> None:
    face = found(portrait())
    for pose in (HeadPose(1, 0, 0), HeadPose(0, 1, 0), HeadPose(-1, 0, 0)):
        turns = [HeadPose(pose.yaw_deg * deg, pose.pitch_deg * deg, 0) for deg in (0, 10, 25, 45, 70)]
        assert falls(face_quality(portrait(), face, turn).overall for turn in turns)


def test_noise_is_measured_in_grey_levels() -> None:
    grain = NOISE[:64, :64, 0]
    for deviation in (2, 8, 20):
        assert abs(noise_deviation(100 + grain * deviation) / deviation - 1) < 0.15


def test_a_picture_of_one_colour_has_a_quality_near_nothing() -> None:
    for luma in (0, 128, 255):
        wall = np.full((180, 320, 3), luma, np.uint8)
        assert 0 <= face_quality(wall, found(portrait()), HeadPose(0, 0, 0)).overall < 0.02
