"""How much a face's picture can be trusted: sharpness, noise, size, light and pose, each 0-1, multiplied.

Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000)
of a crop of fixed scale, as a share of the crop's own variance, so that light does not count twice; noise is estimated
by Immerkaer's mask ("Fast Noise Variance Estimation", 1996) and its part taken out of the Laplacian, so that grain does
not pass for detail.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sidecar.affine import resample
from sidecar.faces import FaceLandmarks
from sidecar.media.face_crop import crop_region, luma
from sidecar.media.face_pose import HeadPose
from sidecar.types import ByteArray, FloatArray

SCALE_PX: Final = 64
"""Side of the crop on which sharpness and noise are measured; smaller where the face is, for enlarging blurs noise."""

_SHARPNESS: Final = 0.03
"""Where sharpness counts half. A clear webcam face has 0.3."""
_NOISE: Final = 0.2
"""Deviation of the noise, as a share of the contrast, where cleanness counts half."""
_SIDE_PX: Final = 35.0
_CONTRAST: Final = 18.0
"""Side of the aligned face and deviation of its luma where size and contrast still lack a third (1 / e)."""
_DARK, _NEAR_WHITE = 35.0, 20.0
"""Mean luma above black, and below white, at which light counts half."""
_TURNED_DEG: Final = 45.0
_LAPLACIAN_GAIN: Final = 25.0
"""Variance of the Laplacian of unit noise: 20 where it is white, up to 30 where resampling has smeared it."""
_LEAST_SHARPNESS: Final = 0.003

Grey = FloatArray  # (side, side)


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """The parts, each 0-1."""

    sharpness: float
    cleanness: float
    size: float
    light: float
    pose: float

    @property
    def overall(self) -> float:
        return self.sharpness * self.cleanness * self.size * self.light * self.pose


def face_quality(rgb: ByteArray, face: FaceLandmarks, pose: HeadPose) -> FaceQuality:
    """The quality of one face in its frame (height, width, 3)."""
    region = crop_region(face)
    crop_px = int(np.clip(0.9 * region.side_px, 12, SCALE_PX))
    grey = luma(resample(rgb, region, crop_px))
    noise = noise_deviation(grey)
    contrast = float(np.sqrt(max(float(grey.var()) - noise**2, 1.0)))
    turned = float(np.hypot(pose.yaw_deg, pose.pitch_deg))
    detail = sharpness(grey, noise, contrast)
    return FaceQuality(
        sharpness=detail / (detail + _SHARPNESS),
        cleanness=1 / (1 + (noise / contrast / _NOISE) ** 3),
        size=_saturating(region.side_px / _SIDE_PX),
        light=_exposed(float(grey.mean())) * _saturating(contrast / _CONTRAST),
        pose=float(np.exp(-((turned / _TURNED_DEG) ** 2))),
    )


def noise_deviation(grey: Grey) -> float:
    """Standard deviation of the noise in (side, side), by the median of Immerkaer's mask: edges are few."""
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    residue = across[:-2] - 2 * across[1:-1] + across[2:]
    return float(np.median(np.abs(residue)) / 0.6745 / 6)


def sharpness(grey: Grey, noise: float, contrast: float) -> float:
    """Variance of the Laplacian, without the noise's part, as a share of the squared contrast."""
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return float(max((laplacian.var() - _LAPLACIAN_GAIN * noise**2) / contrast**2, _LEAST_SHARPNESS))


def _exposed(mean: float) -> float:
    """Near 1 for a mean luma that leaves room on both sides."""
    above, below = max(mean, 1.0), max(255.0 - mean, 1.0)
    return 1 / (1 + (_DARK / above) ** 4) / (1 + (_NEAR_WHITE / below) ** 4)


def _saturating(value: float) -> float:
    return 1 - float(np.exp(-value))
