"""Where a head points, and its mesh turned to face the camera.

The rigid points of a mesh are fitted to a mean head by the similarity of least squares (Umeyama, "Least-squares
estimation of transformation parameters between two point patterns", 1991). No camera model is needed: the mesh's
depth is on the scale of its x and y, that is, the projection is taken as weak perspective.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.faces import FaceLandmarks

_MIDLINE: Final = (10, 151, 9, 168, 6, 197, 195, 5, 4)
_RIGHT: Final = (33, 133, 67, 109, 127, 234, 93)
_LEFT: Final = (263, 362, 297, 338, 356, 454, 323)
RIGID: Final = [*_MIDLINE, *_RIGHT, *_LEFT]
"""Points that neither expression nor speech moves: forehead, bridge of the nose, corners of the eyes, temples."""

# python -m models.train.face_template, over 3,800 faces of FER+'s training images
_MEAN_MIDLINE: Final = (
    (-0.7247, -0.3083),
    (-0.4727, -0.3489),
    (-0.2212, -0.3699),
    (0.0369, -0.3303),
    (0.1721, -0.3902),
    (0.29, -0.4614),
    (0.3983, -0.5373),
    (0.5133, -0.6161),
    (0.6471, -0.6472),
)
_MEAN_RIGHT: Final = (
    (-0.7185, 0.0796, 0.0142),
    (-0.2815, 0.1133, -0.0725),
    (-0.5583, -0.683, -0.1796),
    (-0.3027, -0.7185, -0.2811),
    (-1.0827, 0.08, 0.7756),
    (-1.0659, 0.2936, 0.8614),
    (-1.0489, 0.5153, 0.8867),
)
MEAN_HEAD: Final[NDArray[np.float64]] = np.array(
    [[0.0, *point] for point in _MEAN_MIDLINE] + [list(p) for p in _MEAN_RIGHT] + [[-p[0], *p[1:]] for p in _MEAN_RIGHT]
)
"""The rigid points of the mean face, seen squarely: (23, 3) x, y, depth in distances between the eyes."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Turns of the head from facing the camera squarely."""

    yaw_deg: float
    """Positive towards the person's left, the picture's right."""
    pitch_deg: float
    """Positive upwards. Zero is the median of photographs (FER+), not of each person's own posture."""
    roll_deg: float
    """Positive clockwise on the screen."""


def turned_to_camera(face: FaceLandmarks) -> tuple[NDArray[np.float64], HeadPose]:
    """The mesh (468, 3) as seen squarely from the front, in distances between the eyes, and the pose taken out."""
    points = face.points.astype(np.float64)
    scale, rotation, shift = similarity(points[RIGID], MEAN_HEAD)
    return scale * points @ rotation.T + shift, _pose(rotation.T)


def similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Scale, rotation (3, 3) and shift (3,) that take `source` (n, 3) nearest to `target`: Umeyama, equations 40-42."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    left, singular, right = np.linalg.svd((target - target_mean).T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(signs) @ right
    scale = float((singular * signs).sum() / max(float(np.square(centred).sum()), 1e-12))
    return scale, rotation, target_mean - scale * rotation @ source_mean


def _pose(from_mean: NDArray[np.float64]) -> HeadPose:
    """Angles of the rotation that takes the mean head to the picture: nods first, then turns, then tilts."""
    eyes, down, away = from_mean[:, 0], from_mean[2, 1], from_mean[2, 2]
    return HeadPose(
        yaw_deg=float(np.degrees(np.arctan2(eyes[2], np.hypot(eyes[0], eyes[1])))),
        pitch_deg=float(np.degrees(np.arctan2(-down, away))),
        roll_deg=float(np.degrees(np.arctan2(eyes[1], eyes[0]))),
    )
