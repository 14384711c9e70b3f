"""Square regions of a picture at any place, size and turn, and their pixels resampled. Numpy alone.

Bilinear, edge pixels repeated outside the picture. A picture much larger than what is asked of it is first thinned
and averaged, so that a 4K frame costs little more than a small one and does not alias.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.types import ByteArray, FloatArray

_STEPS: Final = 16
"""Sub-pixel steps. 16 x 16 = 256 weights times 255 just fits a lane of 16 bits."""
_FIXED: Final = 4096
"""Places in a picture are whole 4096ths of a pixel: numpy adds and cuts integers in half the time of floats."""
_PIXELS_AT_ONCE: Final = 12288

Fixed = NDArray[np.int32]
Words = NDArray[np.uint64]
"""Pixels, each with red, green, blue and nothing in 16 bits."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square of a picture, in pixels with the origin at the outer corner of the first pixel."""

    x_px: float
    """Centre."""
    y_px: float
    side_px: float
    angle_rad: float = 0.0
    """Turn of the region's own x axis from the picture's, clockwise on the screen."""

    def to_picture(self, points: FloatArray, crop_px: float) -> FloatArray:
        """Points of a crop of side `crop_px` in the picture's pixels: (n, 2), or (n, 3) with depth scaled alike."""
        scale = self.side_px / crop_px
        cos, sin = np.cos(self.angle_rad) * scale, np.sin(self.angle_rad) * scale
        x, y = points[:, 0] - crop_px / 2, points[:, 1] - crop_px / 2
        columns = [self.x_px + cos * x - sin * y, self.y_px + sin * x + cos * y]
        if points.shape[1] == 3:
            columns.append(points[:, 2] * scale)
        return np.stack(columns, axis=1).astype(np.float32)

    def to_crop(self, points: FloatArray, crop_px: float) -> FloatArray:
        """The inverse of `to_picture`, for (n, 2)."""
        scale = crop_px / self.side_px
        cos, sin = np.cos(self.angle_rad) * scale, np.sin(self.angle_rad) * scale
        x, y = points[:, 0] - self.x_px, points[:, 1] - self.y_px
        return (np.stack([cos * x + sin * y, cos * y - sin * x], axis=1) + crop_px / 2).astype(np.float32)


def resample(rgb: ByteArray, region: Region, crop_px: int) -> FloatArray:
    """The pixels of a region, (crop_px, crop_px, 3) float32 0-255. `rgb` is (height, width, 3), at least 1 x 1."""
    patch, left, top = _surroundings(rgb, region)
    scale = region.side_px / crop_px
    thinned = 1
    while scale >= 2:
        patch, thinned, scale = _halve(patch, average=scale < 4), thinned * 2, scale / 2
    cos, sin = np.cos(region.angle_rad) * scale, np.sin(region.angle_rad) * scale
    x_px, y_px = (region.x_px - left) / thinned, (region.y_px - top) / thinned
    offsets = _offsets(crop_px)
    along, across = offsets * (cos * _FIXED), offsets * (sin * _FIXED)
    rounding = _FIXED / _STEPS / 2
    x_px, y_px = (x_px - 0.5) * _FIXED + rounding, (y_px - 0.5) * _FIXED + rounding
    if region.angle_rad == 0:
        return _upright(patch, _whole(along + x_px), _whole(along + y_px))
    x = _whole(along + x_px)[None, :] - _whole(across)[:, None]
    y = _whole(across + y_px)[None, :] + _whole(along)[:, None]
    return _bilinear(patch, x, y)


def _whole(values: NDArray[np.floating[Any]]) -> Fixed:
    whole: Fixed = np.rint(values).astype(np.int32)
    return whole


@lru_cache(maxsize=8)
def _offsets(crop_px: int) -> FloatArray:
    """Pixel centres of a crop from its middle, (crop_px,)."""
    return (np.arange(crop_px) + 0.5 - crop_px / 2).astype(np.float32)


def _surroundings(rgb: ByteArray, region: Region) -> tuple[ByteArray, int, int]:
    """The part of the picture that the region can touch, at least one pixel, and its left and top."""
    height, width = rgb.shape[:2]
    reach = region.side_px * (abs(np.cos(region.angle_rad)) + abs(np.sin(region.angle_rad))) / 2 + 2
    left = int(np.clip(region.x_px - reach, 0, width - 1))
    top = int(np.clip(region.y_px - reach, 0, height - 1))
    right = int(np.clip(region.x_px + reach, left + 1, width))
    bottom = int(np.clip(region.y_px + reach, top + 1, height))
    return rgb[top:bottom, left:right], left, top


def _halve(rgb: ByteArray, average: bool) -> ByteArray:
    """Half the width and height: every second pixel, or the mean of each two by two. Odd edges are cut off."""
    if not average or min(rgb.shape[:2]) < 2:
        return rgb[::2, ::2]
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    rows = rgb[0:height:2, :width].astype(np.uint16) + rgb[1:height:2, :width]
    return ((rows[:, ::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def _upright(rgb: ByteArray, x: Fixed, y: Fixed) -> FloatArray:
    """As `_bilinear` for a grid that is level, given its columns x and its rows y: half the work."""
    words = _packed(rgb)
    x, y = x.clip(0, (rgb.shape[1] - 1) * _FIXED), y.clip(0, (rgb.shape[0] - 1) * _FIXED)
    row, below = y >> 12, ((y >> 8) & 15).astype(np.uint64)[:, None]
    rows = words[row] * (_STEPS - below) + words[row + 1] * below
    column, right = x >> 12, ((x >> 8) & 15).astype(np.uint64)
    colours = np.empty((len(y), len(x), 3), np.float32)
    _unpack(rows.take(column, axis=1) * (_STEPS - right) + rows.take(column + 1, axis=1) * right, colours)
    return colours


def _bilinear(rgb: ByteArray, x: Fixed, y: Fixed) -> FloatArray:
    """Colours at (x, y), in 4096ths of a pixel with pixel centres at whole numbers: (rows, columns, 3) float32 0-255.

    The three colours ride in the 16-bit lanes of one 64-bit word, so that a weight is applied to all by one
    multiplication; a few rows at a time, so that all of it stays in the cache.
    """
    words = _packed(rgb)
    x_end, y_end = (rgb.shape[1] - 1) * _FIXED, (rgb.shape[0] - 1) * _FIXED
    colours = np.empty((*x.shape, 3), np.float32)
    rows = max(1, _PIXELS_AT_ONCE // x.shape[1])
    for row in range(0, len(x), rows):
        part = slice(row, row + rows)
        _unpack(_mix(words, x[part].clip(0, x_end), y[part].clip(0, y_end)), colours[part])
    return colours


def _mix(words: Words, x: Fixed, y: Fixed) -> Words:
    """The four pixels around each place, weighted, 256 times too large."""
    stride = words.shape[1]
    corner = ((y >> 12) * stride + (x >> 12)).astype(np.intp)
    right, below = ((x >> 8) & 15).astype(np.uint64), ((y >> 8) & 15).astype(np.uint64)
    left, above = _STEPS - right, _STEPS - below
    mixed: Words = words.take(corner, mode="clip") * (left * above)
    corner += 1
    mixed += words.take(corner, mode="clip") * (right * above)
    corner += stride
    mixed += words.take(corner, mode="clip") * (right * below)
    corner -= 1
    mixed += words.take(corner, mode="clip") * (left * below)
    return mixed


def _unpack(mixed: Words, colours: FloatArray) -> None:
    """Fill `colours` (rows, columns, 3) with 0-255 from words that are 256 times too large."""
    lanes = mixed.view(np.uint16)
    for channel in range(3):  # a plane at a time: numpy is slow along an axis of three
        np.multiply(lanes[:, channel::4], np.float32(1 / _STEPS**2), out=colours[..., channel])


def _packed(rgb: ByteArray) -> Words:
    """Each pixel as one word, the last row and column repeated once: (height + 1, width + 1)."""
    height, width = rgb.shape[:2]
    lanes = np.empty((height + 1, width + 1, 4), np.uint16)
    for channel in range(3):
        lanes[:height, :width, channel] = rgb[..., channel]
    lanes[height], lanes[:, width] = lanes[height - 1], lanes[:, width - 1]
    return lanes.view(np.uint64)[..., 0]
