"""The mesh over a face: MediaPipe's FaceMesh of 468 points.

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs" (2019), arXiv:1907.06724. The
regions are those of MediaPipe's graphs `face_detection_front_detection_to_roi` and `face_landmark_landmarks_to_roi`
(mediapipe 0.10.21): about the centre of the face's box, 1.5 times its longer side, turned until the eyes are level.
"""

from typing import Final

import numpy as np

from sidecar.affine import Region, resample
from sidecar.faces import FaceBox, FaceLandmarks
from sidecar.inference.encoder import Model
from sidecar.types import ByteArray, FloatArray

SIDE_PX: Final = 192
_MARGIN: Final = 1.5
_RIGHT_EYE_OUTER: Final = 33
_LEFT_EYE_OUTER: Final = 263


class FaceMesh:
    """Landmarks of one face whose place is roughly known."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def at(self, rgb: ByteArray, box: FaceBox) -> FaceLandmarks:
        """The mesh over a face just detected in this picture."""
        return self._landmarks(rgb, _region(box, box.keypoints[0], box.keypoints[1]))

    def near(self, rgb: ByteArray, previous: FaceLandmarks) -> FaceLandmarks:
        """The mesh over the face that was at `previous` in the last picture. Low `presence` means that it is gone."""
        points = previous.points
        return self._landmarks(rgb, _region(previous.box, points[_RIGHT_EYE_OUTER], points[_LEFT_EYE_OUTER]))

    def _landmarks(self, rgb: ByteArray, region: Region) -> FaceLandmarks:
        crop = resample(rgb, region, SIDE_PX)
        crop *= np.float32(1 / 255)
        outputs = self._model.run({"image": crop[None]})
        points = region.to_picture(outputs["landmarks"][0], SIDE_PX)
        return FaceLandmarks(points, float(outputs["presence"][0, 0]))


def _region(box: FaceBox, right_eye: FloatArray, left_eye: FloatArray) -> Region:
    angle = np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0])
    side = _MARGIN * max(box.width_px, box.height_px, 1.0)
    return Region(*box.centre, side, float(angle))
