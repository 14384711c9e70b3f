"""LiveKit's video frames as upright RGB arrays."""

import asyncio
from collections.abc import Mapping
from typing import Final

import numpy as np
from livekit import rtc

from sidecar.errors import TrackUnavailable
from sidecar.types import ByteArray

LARGEST_PX: Final = 1280
"""Longer side above which every n-th pixel is taken: a face large enough for the encoder stays so, and the
conversion of a 4K frame (a camera without simulcast) is bounded."""

_AT_ONCE_PIXELS: Final = 320 * 240
"""A frame of the lowest layer is converted in 0.1 to 0.4 ms, about what handing it to a thread costs. Larger ones take
up to 8 ms (1280x720, turned) and would hold up all rooms."""

_QUARTER_TURNS: Final[Mapping[int, int]] = {
    rtc.VideoRotation.VIDEO_ROTATION_90: 1,
    rtc.VideoRotation.VIDEO_ROTATION_180: 2,
    rtc.VideoRotation.VIDEO_ROTATION_270: 3,
}


async def converted(frame: rtc.VideoFrame, rotation: int) -> ByteArray:
    """As `upright_rgb`, without holding up the event loop."""
    if frame.width * frame.height <= _AT_ONCE_PIXELS:
        return upright_rgb(frame, rotation)
    return await asyncio.to_thread(upright_rgb, frame, rotation)


def upright_rgb(frame: rtc.VideoFrame, rotation: int) -> ByteArray:
    """The picture as (height, width, 3) uint8, turned clockwise by the rotation its sender declared.

    Raises `TrackUnavailable` where the frame cannot be converted.
    """
    try:
        small = _thinned(frame) if max(frame.width, frame.height) > LARGEST_PX else frame
        rgb24 = small.convert(rtc.VideoBufferType.RGB24)
        rgb = np.frombuffer(rgb24.data, np.uint8).reshape(rgb24.height, rgb24.width, 3)
    except Exception as error:  # the SDK raises nothing narrower for what it cannot convert
        size = f"{frame.width}x{frame.height}"
        raise TrackUnavailable(f"a {size} frame cannot be converted: {type(error).__name__}") from error
    turns = _QUARTER_TURNS.get(rotation, 0)
    return np.ascontiguousarray(np.rot90(rgb, -turns)) if turns else rgb


def _thinned(frame: rtc.VideoFrame) -> rtc.VideoFrame:
    """An I420 frame with every n-th pixel of every n-th row, so that it is at most `LARGEST_PX` long."""
    step = -(-max(frame.width, frame.height) // LARGEST_PX)
    i420 = frame if frame.type == rtc.VideoBufferType.I420 else frame.convert(rtc.VideoBufferType.I420)
    planes = np.frombuffer(i420.data, np.uint8)
    half_height, half_width = (i420.height + 1) // 2, (i420.width + 1) // 2
    luma_size, chroma_size = i420.height * i420.width, half_height * half_width
    luma = planes[:luma_size].reshape(i420.height, i420.width)[::step, ::step]
    chroma = planes[luma_size : luma_size + 2 * chroma_size].reshape(2, half_height, half_width)[:, ::step, ::step]
    # Chroma of an odd size has its own rounding: cut luma to what the chroma planes cover.
    height, width = min(luma.shape[0], 2 * chroma.shape[1]), min(luma.shape[1], 2 * chroma.shape[2])
    chroma = chroma[:, : (height + 1) // 2, : (width + 1) // 2]
    data = np.concatenate([luma[:height, :width].ravel(), chroma.ravel()]).tobytes()
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, data)
