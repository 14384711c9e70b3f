"""Decoded video frames to upright pictures at the rate of analysis."""

from math import inf
from typing import Final

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from sidecar.clock import Clock
from sidecar.sources.recording.geometry import Orientation, orientation, shown_size
from sidecar.sources.recording.messages import as_damage
from sidecar.sources.recording.report import StreamReport
from sidecar.types import ByteArray, Permit, VideoFrame

_ROUNDING_S: Final = 1e-6
_DAMAGED_S: Final = 1.0
"""For so long after a sound picture damaged ones are skipped; then they are better than none."""
_STILL_FRAMES: Final = 8


class Pictures:
    """Picks and converts the frames of one stream, given in the order of display."""

    def __init__(
        self,
        stream: VideoStream,
        clock: Clock,
        permit: Permit,
        *,
        fps: float,
        frame_s: float,
        report: StreamReport,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._period_s = 1 / fps
        self._frame_s = frame_s
        self._permit = permit
        self._report = report
        self._reformatter = VideoReformatter()
        self._next_s = 0.0
        self._sound_s = 0.0
        self._stamp_s = -inf
        self._still = 0
        """Frames since the stamps advanced."""
        self._end_s = 0.0
        """Where a frame without a stamp belongs."""
        self._shape: tuple[int, int, str] | None = None
        self._rotation = 0
        self._orientation = Orientation()

    def take(self, frame: av.VideoFrame, media_time_s: float | None) -> VideoFrame | None:
        """The picture of a frame, or None if it is not due yet or damaged."""
        at_s = self._place(media_time_s)
        if self._shape is not None:
            self._report.gap(at_s - self._report.read_to_s)  # damaged pictures come out of order
        self._end_s = at_s + self._frame_s
        self._report.read_to_s = max(self._report.read_to_s, self._end_s)
        if self._is_damaged(frame, at_s) or at_s + _ROUNDING_S < self._next_s:
            return None
        rgb = self._upright(frame)
        if rgb is None:
            return None
        self._next_s = max(self._next_s + self._period_s, at_s)
        return VideoFrame(rgb, at_s, self._clock.monotonic(), self._permit)

    def _place(self, stamp_s: float | None) -> float:
        """The stamp, or where the frame before ends if there is none, or if the stamps stand still."""
        if stamp_s is None:
            return self._end_s
        self._still = self._still + 1 if stamp_s <= self._stamp_s else 0
        self._stamp_s = max(stamp_s, self._stamp_s)
        if self._still < _STILL_FRAMES:
            return max(0.0, stamp_s)
        self._report.odd_stamps += 1
        return self._end_s

    def _is_damaged(self, frame: av.VideoFrame, at_s: float) -> bool:
        if not frame.is_corrupt:
            self._sound_s = at_s
        elif at_s < self._sound_s + _DAMAGED_S:
            self._report.skipped_pictures += 1
            return True
        return False

    def _upright(self, frame: av.VideoFrame) -> ByteArray | None:
        self._follow_format(frame)
        try:
            width, height = shown_size(frame.width, frame.height, self._stream.sample_aspect_ratio)
            shown = self._reformatter.reformat(frame, width, height, "rgb24", threads=1)
            rgb: ByteArray = shown.to_ndarray().astype(np.uint8, copy=False)
        except (FFmpegError, ValueError) as error:
            self._report.undecodable[as_damage(error)] += 1
            return None
        return self._orientation.apply(rgb)

    def _follow_format(self, frame: av.VideoFrame) -> None:
        """Look at the display matrix where it may have changed.

        Not for each frame: it takes a millisecond, and PyAV's `side_data` makes a reference cycle, which keeps the
        picture until the next garbage collection.
        """
        shape = (frame.width, frame.height, frame.format.name)
        if self._shape not in (None, shape):
            self._report.formats += 1
        if (self._shape, self._rotation) != (shape, frame.rotation):
            self._orientation = orientation(frame)
        self._shape, self._rotation = shape, frame.rotation
