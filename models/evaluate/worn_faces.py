"""Faces as bad calls show them, each flaw by itself and by degrees. Images are (n, side, side) uint8 luma."""

import io
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Images = NDArray[np.uint8]


def resampled(images: Images, side: int) -> Images:
    """Scaled to `side` px, with the loss of detail that a smaller picture has."""
    if images.shape[-1] == side:
        return images
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)) for image in images]
    )


def seen_small(images: Images, face_px: float) -> Images:
    """A face of `face_px` in the picture, scaled up to what the model takes."""
    return resampled(resampled(images, int(face_px)), images.shape[-1])


def in_the_dark(images: Images, gain: float) -> Images:
    """`gain` of the light, under a sensor's noise of four levels."""
    noise = np.random.default_rng(0).normal(0, 4, images.shape)
    return _luma(images * gain + noise)


def blurred(images: Images, sigma_px: float) -> Images:
    """Out of focus: a Gaussian of `sigma_px` on a crop of 48 px."""
    scale = images.shape[-1] / 48
    return _luma(gaussian_filter(images.astype(np.float64), (0, sigma_px * scale, sigma_px * scale)))


def covered(images: Images, share: float) -> Images:
    """A grey square over `share` of the area, anywhere: a hand, a microphone, a mug."""
    random = np.random.default_rng(0)
    side = images.shape[-1]
    size = round(side * share**0.5)
    hidden = images.copy()
    for image, (top, left) in zip(hidden, random.integers(0, side - size + 1, (len(images), 2)), strict=True):
        image[top : top + size, left : left + size] = 128
    return hidden


def compressed(images: Images, quality: float) -> Images:
    """Through JPEG of that quality, whose blocks are those of a starved video codec."""
    return np.stack([_jpeg(image, int(quality)) for image in images])


FLAWS: Final[Mapping[str, tuple[Callable[[Images, float], Images], tuple[float, ...], str]]] = {
    "resolution": (seen_small, (32, 24, 16, 12), "px"),
    "light": (in_the_dark, (0.5, 0.2, 0.05), "of the light"),
    "blur": (blurred, (1, 2, 3), "px"),
    "occlusion": (covered, (0.1, 0.2, 0.4), "of the face"),
    "compression": (compressed, (20, 10, 5), "quality"),
}
"""Name of the flaw: how, how much, in which unit."""


def _jpeg(image: Images, quality: int) -> Images:
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held))


def _luma(values: NDArray[np.float64]) -> Images:
    luma: Images = values.round().clip(0, 255).astype(np.uint8)
    return luma
