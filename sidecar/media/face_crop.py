"""The picture of a face that the encoder sees: level, centred, framed as the faces it learnt from."""

from typing import Final

import numpy as np

from sidecar.affine import Region, resample
from sidecar.faces import FaceLandmarks
from sidecar.types import ByteArray, FloatArray

SIDE_PX: Final = 48
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

TEMPLATE: Final = np.array([[15.13, 18.64], [32.87, 18.64], [24.0, 29.97], [16.83, 36.71], [31.17, 36.71]], np.float32)
"""Right eye, left eye, nose tip, right and left corner of the mouth in the crop, (5, 2) pixels: the medians over FER+
training faces, made symmetric (python -m models.train.face_template)."""


def five_points(face: FaceLandmarks) -> FloatArray:
    """Middles of the person's right and left eye, nose tip, right and left corner of the mouth: (5, 2) pixels."""
    flat = face.points[:, :2]
    right, left = (flat[33] + flat[133]) / 2, (flat[263] + flat[362]) / 2
    return np.stack([right, left, flat[1], flat[61], flat[291]])


def crop_region(face: FaceLandmarks) -> Region:
    """The square of the picture that puts the five points nearest to the template.

    The similarity of least squares (Umeyama 1991); in the plane it has a closed form in complex numbers, scale and turn
    being one factor.
    """
    points, template = five_points(face).astype(np.float64), TEMPLATE.astype(np.float64)
    picture, crop = points @ [1, 1j], template @ [1, 1j]
    away = crop - crop.mean()
    factor = (away.conj() @ (picture - picture.mean())) / (away.conj() @ away).real
    centre = picture.mean() + factor * (complex(SIDE_PX / 2, SIDE_PX / 2) - crop.mean())
    side = max(SIDE_PX * abs(factor), 1.0)
    return Region(float(centre.real), float(centre.imag), float(side), float(np.angle(factor)))


def aligned_luma(rgb: ByteArray, face: FaceLandmarks) -> ByteArray:
    """The aligned crop of one face, (48, 48) uint8 luma."""
    crop: ByteArray = np.rint(luma(resample(rgb, crop_region(face), SIDE_PX))).astype(np.uint8)
    return crop


def luma(crop: FloatArray) -> FloatArray:
    """BT.601 luma 0-255 of (height, width, 3) float32."""
    grey: FloatArray = crop[..., 0] * _LUMA[0] + crop[..., 1] * _LUMA[1] + crop[..., 2] * _LUMA[2]
    return grey
