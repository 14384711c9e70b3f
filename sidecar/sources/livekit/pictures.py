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
    i420 = _i420(frame)
    small = _thinned(i420) if max(i420.width, i420.height) > LARGEST_PX else i420
    rgb24 = small.convert(rtc.VideoBufferType.RGB24)
    rgb = np.frombuffer(rgb24.data, np.uint8).reshape(rgb24.height, rgb24.width, 3)
    turns = _QUARTER_TURNS.get(rotation, 0)
    return np.ascontiguousarray(np.rot90(rgb, -turns)) if turns else rgb


def _i420(frame: rtc.VideoFrame) -> rtc.VideoFrame:
    """The frame with 8 bits and quarter-size chroma, the only format that the SDK converts to RGB.

    Checked first: on a frame of another size than its data, or of no size, the SDK's native part reads foreign memory
    or aborts the process. It aborts on 10-bit frames, too, which are converted here.
    """
    width, height = frame.width, frame.height
    luma, chroma = width * height, 2 * ((width + 1) // 2) * ((height + 1) // 2)
    size = {
        rtc.VideoBufferType.I420: luma + chroma,
        rtc.VideoBufferType.NV12: luma + chroma,
        rtc.VideoBufferType.I010: 2 * (luma + chroma),
        rtc.VideoBufferType.I420A: 2 * luma + chroma,
        rtc.VideoBufferType.I422: luma + 2 * ((width + 1) // 2) * height,
        rtc.VideoBufferType.I444: 3 * luma,
    }.get(frame.type)
    if luma <= 0 or width <= 0 or frame.data.nbytes != size:
        raise TrackUnavailable(f"a frame of type {frame.type} with {width}x{height} pixels cannot be converted")
    if frame.type == rtc.VideoBufferType.I420:
        return frame
    if frame.type == rtc.VideoBufferType.I010:
        samples = (np.frombuffer(frame.data, "<u2") >> 2).astype(np.uint8)
        return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, samples.tobytes())
    return frame.convert(rtc.VideoBufferType.I420)


def _thinned(i420: rtc.VideoFrame) -> rtc.VideoFrame:
    """An I420 frame with every n-th pixel of every n-th row, so that it is at most `LARGEST_PX` long."""
    step = -(-max(i420.width, i420.height) // LARGEST_PX)
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
