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
from sidecar.types import ByteArray

SIDE_PX: Final = 192
_MARGIN: Final = 1.5
_LEVEL_RAD: Final = float(np.radians(6.0))
"""A head tilted by less is left as it is: its mesh differs no more than from picture to picture, at half the cost."""


class FaceMesh:
    """Landmarks of one face whose place is roughly known."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def landmarks(self, rgb: ByteArray, box: FaceBox) -> FaceLandmarks:
        """The mesh over the face at `box`: a detection in this picture, or the box of the mesh in the last one.

        A low `presence` means that there is no face at that place.
        """
        region = _region(box)
        crop = resample(rgb, region, SIDE_PX)
        crop *= np.float32(1 / 255)
        outputs = self._model.run({"image": crop[None]})
        raw, presence = outputs["landmarks"][0], float(outputs["presence"][0, 0])
        if not np.isfinite(raw).all():
            raw, presence = np.zeros_like(raw), 0.0
        return FaceLandmarks(region.to_picture(raw, SIDE_PX), presence)


def _region(box: FaceBox) -> Region:
    across = box.keypoints[1] - box.keypoints[0]
    side = _MARGIN * max(box.width_px, box.height_px, 1.0)
    angle = float(np.arctan2(across[1], across[0]))
    return Region(*box.centre, side, angle if abs(angle) > _LEVEL_RAD else 0.0)
