"""The choice of a simulcast layer: the lowest that shows the face large enough."""

from enum import IntEnum
from typing import Final

FACE_PX: Final = 64.0
"""Width below which a face is too small for the encoder, whose input is 48-64 px."""

_TOO_SMALL_REPORTS: Final = 5
_SPARE: Final = 2.5
_SETTLE_S: Final = 5.0


class VideoQuality(IntEnum):
    """LiveKit's names for the layers; its server gives the nearest there is."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class LayerChoice:
    """Goes up a layer when the face stays too small, down when half the size would do with room to spare.

    Layers halve the size of the picture, so going down needs `_SPARE` > 2 times the width; between both
    thresholds nothing changes. After a change it waits until the new layer's frames have come.
    """

    def __init__(self) -> None:
        self.quality = VideoQuality.LOW
        self._too_small = 0
        self._changed_s = float("-inf")

    def consider(self, face_width_px: float, now_s: float) -> VideoQuality | None:
        """The layer to ask for, or None where the present one stays."""
        if now_s - self._changed_s < _SETTLE_S:
            return None
        self._too_small = self._too_small + 1 if face_width_px < FACE_PX else 0
        if self._too_small >= _TOO_SMALL_REPORTS and self.quality < VideoQuality.HIGH:
            return self._change(1, now_s)
        if face_width_px > _SPARE * FACE_PX and self.quality > VideoQuality.LOW:
            return self._change(-1, now_s)
        return None

    def _change(self, step: int, now_s: float) -> VideoQuality:
        self.quality = VideoQuality(self.quality + step)
        self._too_small = 0
        self._changed_s = now_s
        return self.quality
