"""How a stored picture is to be shown: pixel shape, size, turns and mirrors."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast

import av
import numpy as np
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as NothingLeft
from av.error import FFmpegError
from av.filter import Graph
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

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
_KINDS: Final = 64
"""More than FFmpeg has kinds of side data (`AVFrameSideDataType`)."""


def orientation(frame: av.VideoFrame) -> Orientation:
    """From the frame's display matrix: a, b, u, c, d, v, x, y, w as 32-bit numbers, FFmpeg's `display.h`.

    A pixel (p, q) is shown at (ap + cq, bp + dq); angles between right ones are rounded. FFmpeg turns EXIF
    orientations into a matrix, too.
    """
    try:
        matrix = _display_matrix(frame)
    except (FFmpegError, ValueError):
        return _TURNED[round(frame.rotation / 90) % 4]
    if len(matrix) != 9:
        return Orientation()
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def _display_matrix(frame: av.VideoFrame) -> NDArray[np.int32]:
    """Nine numbers, or none. Raises `FFmpegError`.

    PyAV 18.1 frees the metadata of side data, which belong to FFmpeg: once it has seen an ICC profile that has a name,
    the next garbage collection ends the process. `frame.side_data` is therefore read from a copy of the frame without
    any other side data, made by FFmpeg's filter.
    """
    graph = Graph()
    last = first = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    kept = cast(int, Type.DISPLAYMATRIX.value)
    modes = [f"mode=select:type={kept}", *(f"mode=delete:type={kind}" for kind in range(_KINDS) if kind != kept)]
    for mode in modes:
        node = graph.add("sidedata", mode)
        last.link_to(node)
        last = node
    last.link_to(graph.add("buffersink"))
    graph.configure()
    first.push(frame)
    try:
        alone = graph.vpull()
    except (NothingYet, NothingLeft):  # the frame was not selected
        return np.zeros(0, np.int32)
    found: list[Any] = list(alone.side_data)  # PyAV declares another type
    data = next((bytes(each) for each in found if each.type is Type.DISPLAYMATRIX), b"")
    return np.frombuffer(data[: len(data) // 4 * 4], np.int32)


def shown_size(width: int, height: int, pixel: Fraction | None) -> tuple[int, int]:
    """Width and height to convert a stored picture to, before it is turned."""
    ratio = float(pixel) if pixel else 1.0
    if not 1 / _WIDEST_PIXEL <= ratio <= _WIDEST_PIXEL:
        ratio = 1.0
    true_width = width * ratio
    scale = min(1.0, _WIDTH_PX / true_width, _HEIGHT_PX / height)
    return max(1, round(true_width * scale)), max(1, round(height * scale))
