"""What a face does, by geometry: smile, brow, mouth, eyes, gaze and pose.

Distances are taken on the mesh turned to the camera, in distances between the eyes, after the feature geometry of
Tian, Kanade and Cohn, "Recognizing Action Units for Facial Expression Analysis" (2001): lip corners for the smile
(AU12), inner brows for the furrow (AU4), inner lips for the open mouth (AU25-27). The weights of smile and furrow are
a logistic regression on FER+ training faces: happiness against the rest, anger and disgust against neutral, happiness
and sadness, classes balanced (python -m models.train.face_template). Openness of the eyes is the eye aspect ratio of
Soukupova and Cech, "Real-Time Eye Blink Detection using Facial Landmarks" (2016), equation 1. Gaze adds the eye's turn
in the head to the head's, the iris moving on a ball (Hansen and Ji, "In the Eye of the Beholder" (2010), section 3.1).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.faces import EyePoints, Eyes, FaceLandmarks
from sidecar.media.face_pose import HeadPose, turned_to_camera
from sidecar.types import FloatArray

Points = NDArray[np.float64]

SMILE: Final = (9.393, 27.578, -20.605, -3.005)  # weights of `mouth_shape`, then the intercept; AUROC 0.957
FURROW: Final = (35.091, -27.573, -8.502)  # weights of `brow_shape`, then the intercept; AUROC 0.744
_FURROW_NONE, _FURROW_FULL = -0.31, 0.98
"""Scores of `FURROW`: median of neutral faces, upper quartile of anger and disgust."""

_SHUT, _OPEN = 0.10, 0.22
"""Eye aspect ratios of the iris network's lids: a shut eye, and the median of FER+'s neutral faces."""
_MESH_TO_IRIS: Final = 0.74
"""The mesh sees eyes wider than the iris network: ratio of the medians over FER+ faces."""
_LIPS_SHUT, _LIPS_APART = 0.06, 0.6
"""Height of the opening to its width: the median of FER+'s neutral faces, and an open jaw."""
_EYEBALL_RADIUS: Final = 12.0 / 30.0
"""In widths of the eye's opening: ball of 24 mm (Hansen and Ji 2010), opening of 30 mm (Farkas 1994)."""
_LEVEL_GAZE: Final = -0.057
"""How far above the line of its corners (in widths) the iris of a level gaze lies: the median of FER+ faces."""
_ON_SCREEN_DEG, _OFF_SCREEN_DEG = 12.0, 32.0
"""A screen at arm's length spans about 12 degrees to each side; one who looks beyond 32 looks elsewhere."""
_KEEP_EYES_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class EyeCues:
    """What the irises and lids of one frame say."""

    openness: float
    """0-1."""
    yaw_deg: float
    """Turn of the eyes in the head, as of `HeadPose`."""
    pitch_deg: float


class FaceCues:
    """The cues of one participant's faces. The eyes are read at their own, slower pace and hold in between."""

    def __init__(self, eyes_every_s: float = 0.5) -> None:
        self._eyes_every_s = eyes_every_s
        self._eyes: EyeCues | None = None
        self._eyes_s = -np.inf

    def eyes_due(self, media_time_s: float) -> bool:
        """True where the next `read` should be given eyes."""
        return media_time_s - self._eyes_s >= self._eyes_every_s - 0.02

    def read(self, face: FaceLandmarks, eyes: Eyes | None, media_time_s: float) -> dict[str, float]:
        """`smile brow_furrow eyes_open mouth_open gaze_on` 0-1, `yaw_deg pitch_deg roll_deg`.

        Without eyes of the last second the mesh's own lids stand in, and the gaze is the head's.
        """
        turned, pose = turned_to_camera(face)
        if eyes is not None:
            self._eyes, self._eyes_s = eye_cues(eyes, pose), media_time_s
        known = self._eyes if media_time_s - self._eyes_s <= _KEEP_EYES_S else None
        seen = known or EyeCues(_openness(mesh_eye_aspect_ratio(turned) * _MESH_TO_IRIS), 0.0, 0.0)
        cues = {
            "smile": 1 / (1 + float(np.exp(-_score(mouth_shape(turned), SMILE)))),
            "brow_furrow": _ramp(_score(brow_shape(turned), FURROW), _FURROW_NONE, _FURROW_FULL),
            "eyes_open": seen.openness,
            "mouth_open": _ramp(lips_apart(turned), _LIPS_SHUT, _LIPS_APART),
            "gaze_on": _gaze_on(pose, seen),
            "yaw_deg": pose.yaw_deg,
            "pitch_deg": pose.pitch_deg,
            "roll_deg": pose.roll_deg,
        }
        return {name: round(value, 3) for name, value in cues.items()}


def mouth_shape(turned: Points) -> Points:
    """Width of the mouth, rise of its corners over the lips' middle, and distance of the corners from the nose."""
    corners = (turned[61] + turned[291]) / 2
    lips = (turned[13] + turned[14]) / 2
    return np.array([_distance(turned, 61, 291), lips[1] - corners[1], corners[1] - turned[2, 1]])


def brow_shape(turned: Points) -> Points:
    """Gap between the inner brows, and their height above the inner corners of the eyes."""
    height = (turned[133, 1] + turned[362, 1] - turned[55, 1] - turned[285, 1]) / 2
    return np.array([_distance(turned, 55, 285), height])


def mesh_eye_aspect_ratio(turned: Points) -> float:
    """The eye aspect ratio by the mesh, mean of both eyes."""
    right = _aspect_ratio(turned[[33, 160, 158, 133, 153, 144]])
    return (right + _aspect_ratio(turned[[263, 387, 385, 362, 380, 373]])) / 2


def eye_aspect_ratio(eye: EyePoints) -> float:
    """The eye aspect ratio by the iris network's lids."""
    return _aspect_ratio(eye.lids[[0, 14, 10, 8, 6, 2]].astype(np.float64))


def eye_cues(eyes: Eyes, pose: HeadPose) -> EyeCues:
    """Openness and turn of the eyes; the far eye of a turned head counts less."""
    towards_left = np.clip(0.5 + pose.yaw_deg / 60, 0.0, 1.0)  # turned to the left, the right eye is the near one
    weights = np.array([towards_left, 1 - towards_left])
    ratios = np.array([eye_aspect_ratio(eyes.right), eye_aspect_ratio(eyes.left)])
    # The person's left is the picture's right for both eyes; the lids of the left eye run the other way.
    offsets = np.stack([iris_offset(eyes.right, 1.0), iris_offset(eyes.left, -1.0)])
    across, down = weights @ offsets
    foreshortening = max(float(np.cos(np.radians(pose.yaw_deg))), 0.5)
    return EyeCues(
        openness=_openness(float(weights @ ratios) * foreshortening),
        yaw_deg=_turn_deg(float(across)),
        pitch_deg=-_turn_deg(float(down) - _LEVEL_GAZE),
    )


def iris_offset(eye: EyePoints, direction: float) -> FloatArray:
    """Where the iris lies from the middle of the corners, in widths of the eye: (right, down) along the eye's axes."""
    start, end = (eye.lids[0], eye.lids[8]) if direction > 0 else (eye.lids[8], eye.lids[0])
    axis = end - start
    width = max(float(np.hypot(*axis)), 1e-6)
    along = axis / width
    away = eye.iris[0] - (start + end) / 2
    return np.array([away @ along, away @ np.array([-along[1], along[0]])], np.float32) / np.float32(width)


def _turn_deg(offset: float) -> float:
    return float(np.degrees(np.arcsin(np.clip(offset / _EYEBALL_RADIUS, -1.0, 1.0))))


def _gaze_on(pose: HeadPose, eyes: EyeCues) -> float:
    """1 where the line of sight meets the screen, 0 where it is far off or the eyes are shut."""
    away = float(np.hypot(pose.yaw_deg + eyes.yaw_deg, pose.pitch_deg + eyes.pitch_deg))
    looking = _ramp(eyes.openness, 0.1, 0.4)
    return looking * (1 - _ramp(away, _ON_SCREEN_DEG, _OFF_SCREEN_DEG))


def _openness(ratio: float) -> float:
    return _ramp(ratio, _SHUT, _OPEN)


def lips_apart(turned: Points) -> float:
    """Height of the mouth's opening to its width."""
    return _distance(turned, 13, 14) / max(_distance(turned, 78, 308), 1e-6)


def _aspect_ratio(p: Points) -> float:
    """(|p2 p6| + |p3 p5|) / 2 |p1 p4| of (6, d) points round an eye from one corner."""
    lids = np.linalg.norm(p[1] - p[5]) + np.linalg.norm(p[2] - p[4])
    return float(lids / max(2 * float(np.linalg.norm(p[0] - p[3])), 1e-6))


def _distance(points: Points, one: int, other: int) -> float:
    return float(np.linalg.norm(points[one] - points[other]))


def _score(shape: Points, weights: tuple[float, ...]) -> float:
    return float(np.clip(shape @ np.array(weights[:-1]) + weights[-1], -30, 30))


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
