"""How much a face's picture can be trusted: sharpness, noise, size, light and pose, each 0-1, multiplied.

Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000)
of a crop of fixed scale, as a share of the crop's own variance, so that light does not count twice; noise is estimated
by Immerkaer's mask ("Fast Noise Variance Estimation", 1996) and its part taken out of the Laplacian, so that grain does
not pass for detail.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.affine import resample
from sidecar.faces import FaceLandmarks
from sidecar.media.face_crop import crop_region
from sidecar.media.face_pose import HeadPose
from sidecar.types import ByteArray

SCALE_PX: Final = 64
"""Side of the crop on which sharpness and noise are measured."""

# Each is the value at which its part of the quality has lost about a third (1 / e), found on the talking heads and
# photographs of the shared clips, which all stand above 0.6 in the end.
_SHARPNESS: Final = 0.012
_NOISE: Final = 12.0
_SIDE_PX: Final = 35.0
_CONTRAST: Final = 18.0
_DARK, _LIT, _GLARING, _WHITE = 20.0, 75.0, 205.0, 250.0
_TURNED_DEG: Final = 45.0

Grey = NDArray[np.float64]


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
    grey = resample(rgb, region, SCALE_PX).astype(np.float64) @ (0.299, 0.587, 0.114)
    noise = noise_deviation(grey)
    turned = np.hypot(pose.yaw_deg, pose.pitch_deg)
    return FaceQuality(
        sharpness=_saturating(sharpness(grey, noise) / _SHARPNESS),
        cleanness=float(np.exp(-noise / _NOISE)),
        size=_saturating(region.side_px / _SIDE_PX),
        light=_light(grey, noise),
        pose=float(np.exp(-((turned / _TURNED_DEG) ** 2))),
    )


def noise_deviation(grey: Grey) -> float:
    """Standard deviation of white noise in (side, side), grey levels."""
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    residue = across[:-2] - 2 * across[1:-1] + across[2:]
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(residue).mean())


def sharpness(grey: Grey, noise: float) -> float:
    """Variance of the Laplacian as a share of the variance of the crop, both without the part of the noise."""
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    detail = laplacian.var() - _LAPLACIAN_GAIN * noise**2
    return float(max(detail, 0.0) / max(middle.var() - noise**2, 1.0))


_LAPLACIAN_GAIN: Final = 20.0
"""Variance of the Laplacian of unit white noise: 4 squared and four times 1."""


def _light(grey: Grey, noise: float) -> float:
    mean, contrast = float(grey.mean()), np.sqrt(max(float(grey.var()) - noise**2, 0.0))
    exposed = np.clip((mean - _DARK) / (_LIT - _DARK), 0, 1) * np.clip((_WHITE - mean) / (_WHITE - _GLARING), 0, 1)
    return float(exposed) * _saturating(contrast / _CONTRAST)


def _saturating(value: float) -> float:
    return 1 - float(np.exp(-value))
