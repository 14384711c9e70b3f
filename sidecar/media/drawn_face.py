"""Whether a face is drawn: a cartoon, an avatar, an emoji.

The detector and the mesh take drawings for faces, and the encoder is as sure of them as of people, so neither scores
nor free energy tell them apart. Their surfaces do: skin is shaded and textured everywhere, a drawing has areas and
edges. A logistic regression weighs the spread of the gradients at three scales, the coarse picture, and the proportions
of the mesh. `python -m models.train.drawn_face` makes its weights, `drawn_face.toml`; `python -m models.evaluate.drawn`
measures it.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.faces import FaceLandmarks
from sidecar.media.face_pose import turned_to_camera
from sidecar.types import ByteArray, FloatArray, Options

_SIDE_PX: Final = 48
_LEAST_CONTRAST: Final = 4.0
"""Levels of luma; below it a face is not lit, and what differs is noise."""
_SCALES: Final = (1, 2, 4)
_GRADIENTS: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_CURVATURES: Final = (0.25, 0.5, 0.9, 0.98)
_COARSE: Final = 4
_FLOOR: Final = 0.003
"""Added before logarithms: what rounding to 256 levels leaves of a flat area."""
_POINTS: Final = [
    *(10, 152, 234, 454),  # forehead, chin, sides
    *(33, 133, 263, 362, 159, 145, 386, 374),  # corners and lids of the eyes
    *(55, 285, 70, 300),  # brows
    *(1, 2),  # nose
    *(61, 291, 13, 14, 0, 17),  # lips
    *(172, 397),  # jaw
]
CLIP: Final = 3.0
"""No single feature counts for more than it does at three deviations: extreme poses are rare in training."""
_FRONTAL_DEG: Final = 40.0
"""Faces turned further are not judged: training has few."""
_MOST: Final = 6.0
"""Log odds beyond which a frame is not more certain, so that one frame cannot outweigh the next seconds."""


class DrawnFaceOptions(Options, frozen=True):
    """When a face counts as drawn."""

    enabled: bool = True
    every_s: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.4
    """Between looks; the verdict holds in between."""
    memory_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.5
    """Time constant of the mean over looks."""
    enter: float = 0.5
    leave: float = -0.5
    """Mean log odds above which a face becomes drawn, and below which it stops being drawn."""


class DrawnFace:
    """The verdict about one participant's face over time. One call at a time."""

    def __init__(self, options: DrawnFaceOptions) -> None:
        self._options = options
        self._tracklet = 0
        self._looked_s = -np.inf
        self._mean: float | None = None
        self._drawn = False

    def judge(self, luma: ByteArray, face: FaceLandmarks, tracklet: int, media_time_s: float) -> bool:
        """True where the face of this tracklet is drawn. `luma`: its aligned crop, (48, 48) uint8."""
        if not self._options.enabled:
            return False
        if tracklet != self._tracklet:
            self._tracklet, self._looked_s, self._mean, self._drawn = tracklet, -np.inf, None, False
        passed_s = media_time_s - self._looked_s
        if passed_s < self._options.every_s - 0.02:
            return self._drawn
        score = drawn_log_odds(luma, face)
        if score is None:
            return self._drawn
        self._looked_s = media_time_s
        old = 0.0 if self._mean is None else float(np.exp(-passed_s / self._options.memory_s))
        self._mean = old * (self._mean or 0.0) + (1 - old) * score
        self._drawn = self._mean > (self._options.leave if self._drawn else self._options.enter)
        return self._drawn


def drawn_log_odds(luma: ByteArray, face: FaceLandmarks) -> float | None:
    """Log odds that the face is drawn, -6 to 6; None for a face that is turned too far away to tell.

    `luma`: the aligned crop, (48, 48) uint8.
    """
    features = drawn_features(luma, face)
    if features is None:
        return None
    weights = _weights()
    standard = ((features - weights.mean) / weights.deviation).clip(-CLIP, CLIP)
    return float(np.clip(standard @ weights.weight + weights.intercept, -_MOST, _MOST))


def drawn_features(luma: ByteArray, face: FaceLandmarks) -> FloatArray | None:
    """What the regression weighs, (261,) float32; None for a face that is turned too far away."""
    turned, pose = turned_to_camera(face)
    if np.hypot(pose.yaw_deg, pose.pitch_deg) > _FRONTAL_DEG:
        return None
    grey = luma.astype(np.float32)
    contrast = max(float(grey.std()), _LEAST_CONTRAST)
    light = float(grey.mean())
    grey = (grey - light) / contrast
    stack = [grey if scale == 1 else _reduced(grey, scale) for scale in _SCALES]
    geometry = [*turned[_POINTS].ravel(), abs(pose.yaw_deg) / 45, pose.pitch_deg / 45, np.log(1.0001 - face.presence)]
    parts = [*(_texture(each) for each in stack), _tones(stack[1]), stack[-1].ravel(), [light / 128, np.log(contrast)]]
    features: FloatArray = np.concatenate([*parts, geometry]).astype(np.float32)
    return features


def _reduced(grey: FloatArray, scale: int) -> FloatArray:
    """Means of squares of `scale` pixels."""
    side = _SIDE_PX // scale
    means: FloatArray = grey.reshape(side, scale, side, scale).mean(axis=(1, 3))
    return means


def _texture(grey: FloatArray) -> FloatArray:
    """Logarithms of quantiles of the gradient's and the Laplacian's magnitude."""
    across, down = np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1]
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    values = [*_quantiles(np.hypot(across, down), _GRADIENTS), *_quantiles(np.abs(laplacian), _CURVATURES)]
    logs: FloatArray = np.log(np.array(values, np.float32) + np.float32(_FLOOR))
    return logs


def _tones(grey: FloatArray) -> FloatArray:
    """How narrow a band holds a quarter, and half, of the pixels; third and fourth moment."""
    ordered = np.sort(grey, axis=None)
    bands = [float((ordered[count:] - ordered[:-count]).min()) for count in (len(ordered) // 4, len(ordered) // 2)]
    square = np.square(ordered)
    moments = [float((square * ordered).mean()), float(np.log(np.square(square).mean() + _FLOOR))]
    return np.array([*np.log(np.array(bands) + 0.01), *moments], np.float32)


def _quantiles(values: FloatArray, shares: tuple[float, ...]) -> FloatArray:
    ordered = np.sort(values, axis=None)
    chosen: FloatArray = ordered[[int(share * (ordered.size - 1)) for share in shares]]
    return chosen


@dataclass(frozen=True, slots=True)
class _Weights:
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weight: NDArray[np.float64]
    intercept: float


@cache
def _weights() -> _Weights:
    table = tomllib.loads(files("sidecar.media").joinpath("drawn_face.toml").read_text("utf-8"))
    mean, deviation, weight = (np.array(table[name], np.float64) for name in ("mean", "deviation", "weight"))
    return _Weights(mean, deviation, weight, float(table["intercept"]))
