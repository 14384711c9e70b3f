"""The choice of a simulcast layer: the lowest that shows the face large enough."""

from enum import IntEnum
from typing import Final

FACE_PX: Final = 64.0
"""Width below which a face is too small for the encoder, whose input is 48-64 px."""

_SPARE: Final = 2.5
_REPORTS: Final = 5
"""Reports in a row, one second at 5 fps, before a width counts."""
_FLICKER_S: Final = 1.0
"""A face that was out of sight for longer starts a new row of reports. Small faces flicker, empty rooms give single
false detections: only the former may ask for a higher layer."""
_SETTLE_S: Final = 5.0
_ABSENT_S: Final = 10.0
_REGRET_S: Final = 120.0
_MOST_PATIENCE: Final = 32


class VideoQuality(IntEnum):
    """LiveKit's names for the layers; its server gives the nearest there is."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class LayerChoice:
    """Goes up a layer when the face stays too small, down when half the size would do with room to spare, and to the
    lowest when no face has been in view for some seconds.

    Layers halve the size of the picture, so going down needs `_SPARE` > 2 times the width; between both thresholds
    nothing changes. After a change it waits until the new layer's frames have come. Each time that going down turns out
    to be wrong soon afterwards, the next time takes twice as long, so that a face that comes and goes does not make the
    layer do the same.
    """

    def __init__(self) -> None:
        self.quality = VideoQuality.LOW
        self._small = 0
        self._large = 0
        self._seen_s = float("-inf")
        self._changed_s = float("-inf")
        self._lowered_s: float | None = None  # None while the newest change was upwards
        self._patience = 1

    def consider(self, face_width_px: float | None, now_s: float) -> VideoQuality | None:
        """The layer to ask for, or None where the present one stays; `face_width_px` is None with no face in view."""
        if face_width_px is None:
            return self._without_face(now_s)
        if now_s - self._seen_s > _FLICKER_S:
            self._small = self._large = 0
        self._seen_s = now_s
        if now_s - self._changed_s < _SETTLE_S:
            return None
        self._small = self._small + 1 if face_width_px < FACE_PX else 0
        self._large = self._large + 1 if face_width_px > _SPARE * FACE_PX else 0
        if self._small >= _REPORTS and self.quality < VideoQuality.HIGH:
            return self._raise(now_s)
        if self._large >= _REPORTS * self._patience and self.quality > VideoQuality.LOW:
            return self._lower(VideoQuality(self.quality - 1), now_s)
        return None

    def _without_face(self, now_s: float) -> VideoQuality | None:
        since_s = max(self._seen_s, self._changed_s)
        if self.quality > VideoQuality.LOW and now_s - since_s >= _ABSENT_S * self._patience:
            return self._lower(VideoQuality.LOW, now_s)
        return None

    def _raise(self, now_s: float) -> VideoQuality:
        if self._lowered_s is not None:
            regretted = now_s - self._lowered_s < _REGRET_S
            self._patience = min(2 * self._patience, _MOST_PATIENCE) if regretted else 1
            self._lowered_s = None
        return self._change(VideoQuality(self.quality + 1), now_s)

    def _lower(self, quality: VideoQuality, now_s: float) -> VideoQuality:
        self._lowered_s = now_s
        return self._change(quality, now_s)

    def _change(self, quality: VideoQuality, now_s: float) -> VideoQuality:
        self.quality = quality
        self._small = self._large = 0
        self._changed_s = now_s
        return quality
