"""What the face networks find, as passed between inference and media. Pixels of the upright picture throughout."""

from dataclasses import dataclass

import numpy as np

from sidecar.types import FloatArray


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A detected face."""

    left_px: float
    top_px: float
    width_px: float
    height_px: float
    score: float
    """0-1."""
    keypoints: FloatArray  # (6, 2) the person's right eye, left eye, nose tip, mouth, right ear, left ear

    @property
    def area_px(self) -> float:
        return self.width_px * self.height_px

    @property
    def centre(self) -> tuple[float, float]:
        return self.left_px + self.width_px / 2, self.top_px + self.height_px / 2

    def overlap(self, other: "FaceBox") -> float:
        """Intersection over union, 0-1."""
        width = min(self.left_px + self.width_px, other.left_px + other.width_px) - max(self.left_px, other.left_px)
        height = min(self.top_px + self.height_px, other.top_px + other.height_px) - max(self.top_px, other.top_px)
        shared = max(width, 0.0) * max(height, 0.0)
        union = self.area_px + other.area_px - shared
        return shared / union if union > 0 else 0.0


@dataclass(frozen=True, slots=True)
class FaceLandmarks:
    """The mesh over one face."""

    points: FloatArray  # (468, 3) x, y, depth (smaller is nearer, on the scale of x), MediaPipe's numbering
    presence: float
    """Probability that there is a face at all, 0-1."""

    @property
    def box(self) -> FaceBox:
        """The upright box around the mesh."""
        low, high = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        width, height = high - low
        keypoints = np.stack([self.points[list(group), :2].mean(axis=0) for group in _KEYPOINTS])
        return FaceBox(float(low[0]), float(low[1]), float(width), float(height), self.presence, keypoints)


@dataclass(frozen=True, slots=True)
class EyePoints:
    """One eye in detail."""

    lids: FloatArray  # (16, 2) corner at the temple, 7 along the lower lid, corner at the nose, 7 along the upper lid
    iris: FloatArray  # (5, 2) centre, then four points of the rim


@dataclass(frozen=True, slots=True)
class Eyes:
    """Both eyes of one face."""

    right: EyePoints
    """The person's right eye, on the picture's left."""
    left: EyePoints


_KEYPOINTS = ((33, 133), (263, 362), (1,), (13, 14), (234,), (454,))
"""Mesh points whose means stand for a detector's six keypoints."""
