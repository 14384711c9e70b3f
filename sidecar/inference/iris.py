"""Eyelids and irises: MediaPipe's iris network, once for each eye.

Ablavatski et al., "Real-time Pupil Tracking from Monocular Video for Digital Puppetry" (2020), arXiv:2006.11341. The
region is that of MediaPipe's graph `iris_landmark_landmarks_to_roi` (mediapipe 0.10.21): about the middle of the eye's
corners, 2.3 times their distance, turned until they are level. The network knows the eye on the picture's left (the
person's right); the other is mirrored before, its points after.
"""

from typing import Final

import numpy as np

from sidecar.affine import Region, resample
from sidecar.faces import EyePoints, Eyes, FaceLandmarks
from sidecar.inference.encoder import Model
from sidecar.types import ByteArray, FloatArray

SIDE_PX: Final = 64
_MARGIN: Final = 2.3
_RIGHT_EYE: Final = (33, 133)  # mesh points of its corners, from the picture's left to its right
_LEFT_EYE: Final = (362, 263)
_LIDS: Final = [*range(9), *range(15, 8, -1)]
"""Rows of `contour` round the eye: the lower lid from corner to corner, then back along the upper lid."""


class IrisTracker:
    """The eyes of a face whose mesh is known."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def eyes(self, rgb: ByteArray, face: FaceLandmarks) -> Eyes:
        """Lids and irises of both eyes. They are as good as the picture: a face of 64 px has eyes of 13."""
        return Eyes(self._eye(rgb, face, _RIGHT_EYE, mirrored=False), self._eye(rgb, face, _LEFT_EYE, mirrored=True))

    def _eye(self, rgb: ByteArray, face: FaceLandmarks, corners: tuple[int, int], mirrored: bool) -> EyePoints:
        region = _region(face.points[corners[0], :2], face.points[corners[1], :2])
        crop = resample(rgb, region, SIDE_PX)
        crop *= np.float32(1 / 255)
        if mirrored:
            crop = np.ascontiguousarray(crop[:, ::-1])
        outputs = self._model.run({"image": crop[None]})
        lids, iris = outputs["contour"][0][_LIDS, :2], outputs["iris"][0][:, :2]
        if mirrored:
            lids, iris = _mirror(lids), _mirror(iris)
        return EyePoints(region.to_picture(lids, SIDE_PX), region.to_picture(iris, SIDE_PX))


def _mirror(points: FloatArray) -> FloatArray:
    return np.stack([SIDE_PX - points[:, 0], points[:, 1]], axis=1)


def _region(from_corner: FloatArray, to_corner: FloatArray) -> Region:
    across = to_corner - from_corner
    middle = (from_corner + to_corner) / 2
    side = _MARGIN * max(float(np.hypot(*across)), 1.0)
    return Region(float(middle[0]), float(middle[1]), side, float(np.arctan2(across[1], across[0])))
