"""How a stored picture is to be shown: pixel shape, size, turns and mirrors."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.sidedata.sidedata import Type

from sidecar.types import ByteArray

_WIDTH_PX: Final = 640
"""Wider pictures are scaled down: a face keeps more pixels than on a call's lowest layer, at bounded cost."""
_HEIGHT_PX: Final = 1280
_WIDEST_PIXEL: Final = 8
"""A pixel aspect ratio beyond this, either way, is a mistake of the file."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """Transposed first, then mirrored."""

    transpose: bool = False
    mirror: bool = False
    """Left and right change places."""
    flip: bool = False
    """Top and bottom change places."""

    def apply(self, rgb: ByteArray) -> ByteArray:
        """The upright picture, contiguous."""
        turned = rgb.transpose(1, 0, 2) if self.transpose else rgb
        turned = turned[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]
        return np.ascontiguousarray(turned)


_TURNED: Final = (
    Orientation(),
    Orientation(transpose=True, flip=True),
    Orientation(mirror=True, flip=True),
    Orientation(transpose=True, mirror=True),
)
"""By quarter turns counterclockwise."""
_BY_EXIF: Final = {
    1: Orientation(),
    2: Orientation(mirror=True),
    3: Orientation(mirror=True, flip=True),
    4: Orientation(flip=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, mirror=True),
    7: Orientation(transpose=True, mirror=True, flip=True),
    8: Orientation(transpose=True, flip=True),
}


def orientation(frame: av.VideoFrame) -> Orientation:
    """From the frame's display matrix: a, b, u, c, d, v, x, y, w as 32-bit numbers, FFmpeg's `display.h`.

    A pixel (p, q) is shown at (ap + cq, bp + dq); angles between right ones are rounded.
    """
    try:
        found: list[Any] = list(frame.side_data)
    except ValueError:  # PyAV 18.1 does not know all kinds of side data, such as EXIF
        return _TURNED[round(frame.rotation / 90) % 4]
    data = next((bytes(each) for each in found if each.type is Type.DISPLAYMATRIX), b"")
    if len(data) != 36:
        return Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(data, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def photo_orientation(head: bytes) -> Orientation | None:
    """From the EXIF tag 0x0112 in the first bytes of a photograph; None without one."""
    start = head.find(b"Exif\0\0") + 6
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[start : start + 4])
    if start < 6 or order is None:
        return None
    try:
        directory = start + struct.unpack_from(f"{order}I", head, start + 4)[0]
        for index in range(struct.unpack_from(f"{order}H", head, directory)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", head, directory + 2 + 12 * index)
            if tag == 0x0112:
                return _BY_EXIF.get(value)
    except struct.error:
        return None
    return None


def shown_size(width: int, height: int, pixel: Fraction | None) -> tuple[int, int]:
    """Width and height to convert a stored picture to, before it is turned."""
    ratio = float(pixel) if pixel else 1.0
    if not 1 / _WIDEST_PIXEL <= ratio <= _WIDEST_PIXEL:
        ratio = 1.0
    true_width = width * ratio
    scale = min(1.0, _WIDTH_PX / true_width, _HEIGHT_PX / height)
    return max(1, round(true_width * scale)), max(1, round(height * scale))
