"""The face stage: frames -> main face -> aligned crop, cues and quality -> face encoder -> calibrated evidence."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated

import msgspec

from sidecar.clock import Clock
from sidecar.errors import Overloaded
from sidecar.fusion.calibration import Calibration, EncodedUnit, to_prediction
from sidecar.inference.blazeface import FaceDetector
from sidecar.inference.encoder import Encoder
from sidecar.inference.face_mesh import FaceMesh
from sidecar.inference.iris import IrisTracker
from sidecar.media.drawn_face import DrawnFace, DrawnFaceOptions
from sidecar.media.face_crop import aligned_luma
from sidecar.media.face_cues import FaceCues
from sidecar.media.face_pose import HeadPose
from sidecar.media.face_quality import face_quality
from sidecar.media.face_tracklet import FaceTrackletOptions, FaceTracklets
from sidecar.telemetry import Telemetry
from sidecar.types import FaceCrop, Missing, Modality, Options, Prediction, VideoFrame


class FaceOptions(Options, frozen=True):
    """The settings of the face stage."""

    tracklet: FaceTrackletOptions = FaceTrackletOptions()
    iris_every_s: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.5
    """Gaze and lids change slowly beside what the iris network costs: it runs twice a second."""
    drawn: DrawnFaceOptions = DrawnFaceOptions()


@dataclass(frozen=True, slots=True)
class FaceNetworks:
    """The face's own networks, run by `thread` alone; shared by all people."""

    detector: FaceDetector
    mesh: FaceMesh
    iris: IrisTracker
    thread: Executor


class FaceStage:
    """One person's face. To be given one frame after the other."""

    def __init__(
        self,
        networks: FaceNetworks,
        encoder: Encoder[FaceCrop],
        calibration: Calibration,
        *,
        models: Mapping[str, str],
        options: FaceOptions,
        max_age_s: float | None,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.models = models
        self.missing: Missing | None = None
        self.face_width_px: float | None = None
        """Of the face in the newest frame, for the choice of the video layer; None where none was found."""
        self._networks = networks
        self._encoder = encoder
        self._calibration = calibration
        self._options = options
        self._max_age_s = max_age_s
        self._clock = clock
        self._telemetry = telemetry
        self._tracklets = FaceTracklets(networks.detector, networks.mesh, options.tracklet)
        self._cues = FaceCues(options.iris_every_s)
        self._drawn = DrawnFace(options.drawn)

    async def observe(self, unit: VideoFrame) -> Prediction | None:
        """Raises `Overloaded` where the frame waited too long for the networks, and `PermitRevoked`."""
        crop = await asyncio.get_running_loop().run_in_executor(self._networks.thread, self._look, unit)
        if crop is None:
            return None
        output = await self._encoder.encode(crop)
        encoded = EncodedUnit(Modality.FACE, crop.quality, crop.cues, crop.media_time_s, crop.arrived_s, crop.permit)
        return to_prediction(output, self._calibration, encoded)

    def _look(self, frame: VideoFrame) -> FaceCrop | None:
        """All of the frame's geometry, in the networks' thread."""
        frame.permit.check()
        if self._max_age_s is not None and self._clock.monotonic() - frame.arrived_s > self._max_age_s:
            self._telemetry.dropped.labels("face", "stale").inc()
            raise Overloaded("the frame waited too long for the face networks")
        before = self._tracklets.statistics()
        sighting = self._tracklets.follow(frame.rgb, frame.media_time_s)
        after = self._tracklets.statistics()
        self._telemetry.detector_runs.inc(after.detector_runs - before.detector_runs)
        self._telemetry.tracked_frames.inc(after.tracked_frames - before.tracked_frames)
        self.missing = sighting.missing
        if sighting.face is None:
            self.face_width_px = None
            return None
        self.face_width_px = sighting.face.box.width_px
        luma = aligned_luma(frame.rgb, sighting.face)
        if self._drawn.judge(luma, sighting.face, sighting.tracklet, frame.media_time_s):
            self.missing = Missing.NO_FACE  # a drawing is no person's face; voice and text are read without it
            self._telemetry.dropped.labels("face", "drawn").inc()
            return None
        due = self._cues.eyes_due(frame.media_time_s)
        eyes = self._networks.iris.eyes(frame.rgb, sighting.face) if due else None
        cues = self._cues.read(sighting.face, eyes, frame.media_time_s)
        pose = HeadPose(cues["yaw_deg"], cues["pitch_deg"], cues["roll_deg"])
        return FaceCrop(
            luma=luma,
            cues=cues,
            quality=face_quality(frame.rgb, sighting.face, pose).overall,
            tracklet=sighting.tracklet,
            media_time_s=frame.media_time_s,
            arrived_s=frame.arrived_s,
            permit=frame.permit,
        )
