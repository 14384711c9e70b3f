"""One person's face over time: detected now and then, followed by its mesh between.

The mesh of one picture says where to look in the next, as in MediaPipe's face pipeline (Kartynnik et al. 2019,
arXiv:1907.06724, section 3): the detector runs only to find a face, to confirm it, and to see whether it is alone.
Other people's faces are boxes here and nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from sidecar.faces import FaceBox, FaceLandmarks
from sidecar.types import ByteArray, Missing, Options

_TOLERANCE_S: Final = 0.02
"""Frames come a little early or late; a detection that is due within this is due."""


class Detector(Protocol):
    def detect(self, rgb: ByteArray) -> list[FaceBox]:
        """All faces of a picture."""
        ...


class Mesh(Protocol):
    def landmarks(self, rgb: ByteArray, box: FaceBox) -> FaceLandmarks:
        """The mesh over the face at or near `box`."""
        ...


class FaceTrackletOptions(Options, frozen=True):
    """How a face is kept."""

    detect_every_s: float = 1.0
    """Between detections while a face is followed."""
    search_every_s: float = 0.5
    """Between detections while there has been no face for longer than `hold_s`."""
    hold_s: float = 1.0
    """How long a face may be hidden and still be the same tracklet."""
    confirm_within_s: float = 5.0
    """A mesh that no detection has confirmed for this long is given up."""
    min_presence: float = 0.5
    ambiguous_ratio: float = 0.6
    """Two faces are comparable when the smaller has more than this share of the larger's area."""
    takeover_ratio: float = 1.5
    """How much more another face must stand out than the one that is followed, to become the main face."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one frame shows."""

    face: FaceLandmarks | None
    """The main face, or None."""
    tracklet: int
    """Number of the newest tracklet, from 1; 0 before the first."""
    missing: Missing | None
    """`no_face` or `ambiguous_face` where there is no main face."""
    bystanders: Sequence[FaceBox]
    """Other faces, as of the last detection."""


@dataclass(frozen=True, slots=True)
class TrackletStatistics:
    frames: int
    detector_runs: int
    tracked_frames: int
    """Frames whose face was found from the last frame's mesh, without the detector."""


class FaceTracklets:
    """Follows the main face of one participant. Blocking; for one thread at a time."""

    def __init__(self, detector: Detector, mesh: Mesh, options: FaceTrackletOptions | None = None) -> None:
        self._detector = detector
        self._mesh = mesh
        self._options = options or FaceTrackletOptions()
        self._last: FaceBox | None = None  # of the newest mesh of the newest tracklet
        self._live = False  # whether the last frame showed it
        self._seen_s = self._detected_s = self._confirmed_s = -np.inf
        self._tracklet = 0
        self._ambiguous = False
        self._bystanders: Sequence[FaceBox] = ()
        self._frames = self._detector_runs = self._tracked_frames = 0

    def follow(self, rgb: ByteArray, media_time_s: float) -> Sighting:
        """The main face of the next frame, (height, width, 3) of any size."""
        self._frames += 1
        face = None
        if self._live and not self._due(media_time_s, self._options.detect_every_s):
            face = self._followed(rgb)
            self._tracked_frames += face is not None
        if face is None and self._search_due(media_time_s):
            face = self._detected(rgb, media_time_s)
        self._live = face is not None
        if face is None:
            return self._nothing()
        self._last, self._seen_s = face.box, media_time_s
        return Sighting(face, self._tracklet, None, self._bystanders)

    def statistics(self) -> TrackletStatistics:
        return TrackletStatistics(self._frames, self._detector_runs, self._tracked_frames)

    def _nothing(self) -> Sighting:
        missing = Missing.AMBIGUOUS_FACE if self._ambiguous else Missing.NO_FACE
        return Sighting(None, self._tracklet, missing, self._bystanders)

    def _search_due(self, now_s: float) -> bool:
        if self._ambiguous:
            return self._due(now_s, self._options.detect_every_s)
        held = now_s - self._seen_s <= self._options.hold_s
        return held or self._due(now_s, self._options.search_every_s)

    def _due(self, now_s: float, every_s: float) -> bool:
        return now_s - self._detected_s >= every_s - _TOLERANCE_S

    def _followed(self, rgb: ByteArray) -> FaceLandmarks | None:
        return self._present(rgb, self._last) if self._last is not None else None

    def _present(self, rgb: ByteArray, box: FaceBox) -> FaceLandmarks | None:
        face = self._mesh.landmarks(rgb, box)
        return face if face.presence >= self._options.min_presence else None

    def _detected(self, rgb: ByteArray, now_s: float) -> FaceLandmarks | None:
        """The main face by detection, or the followed one where the detector misses it (a profile, a hand)."""
        self._detector_runs += 1
        self._detected_s = now_s
        boxes = self._detector.detect(rgb)
        if not boxes:
            self._ambiguous, self._bystanders = False, ()
            confirmed = now_s - self._confirmed_s <= self._options.confirm_within_s
            return self._followed(rgb) if self._live and confirmed else None
        main = max(boxes, key=lambda box: self._prominence(box, rgb, now_s))
        self._bystanders = tuple(box for box in boxes if box is not main)
        self._ambiguous = any(_comparable(main, box, self._options.ambiguous_ratio) for box in self._bystanders)
        if self._ambiguous:
            return None
        face = self._present(rgb, main)
        if face is not None:
            self._confirmed_s = now_s
            self._tracklet += not self._continues(main, now_s)
        return face

    def _prominence(self, box: FaceBox, rgb: ByteArray, now_s: float) -> float:
        """Area, halved at the picture's rim, and raised for the face that is followed."""
        height, width = rgb.shape[:2]
        x, y = box.centre
        off_centre = min(float(np.hypot(x / width - 0.5, y / height - 0.5)) * 2, 1.0)
        loyalty = self._options.takeover_ratio if self._continues(box, now_s) else 1.0
        return box.area_px * (1 - off_centre / 2) * loyalty

    def _continues(self, box: FaceBox, now_s: float) -> bool:
        """True where `box` is the face of the newest tracklet: close to it in place and time."""
        if self._last is None or now_s - self._seen_s > self._options.hold_s + _TOLERANCE_S:
            return False
        (x, y), (last_x, last_y) = box.centre, self._last.centre
        reach = (box.width_px + self._last.width_px) / 2
        return box.overlap(self._last) > 0 and np.hypot(x - last_x, y - last_y) < 0.75 * reach


def _comparable(one: FaceBox, other: FaceBox, ratio: float) -> bool:
    return min(one.area_px, other.area_px) > ratio * max(one.area_px, other.area_px)
