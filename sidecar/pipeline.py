"""One person's chain of stages, from media units to estimates and episodes."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sidecar.errors import InferenceFailed, Overloaded
from sidecar.fusion.engagement import LabelOptions, SpeakingBehaviour, label
from sidecar.fusion.engagement_head import Scorer
from sidecar.fusion.estimator import Estimator, EstimatorOptions
from sidecar.fusion.late import Fusion, ProductOfExperts
from sidecar.temporal.episodes import EpisodeOptions, Episodes
from sidecar.temporal.smoothing import Smoother, SmoothingOptions
from sidecar.temporal.taxonomy import blend, granular
from sidecar.types import (
    AudioChunk,
    EndReason,
    EpisodeChange,
    FusedEstimate,
    Label,
    Missing,
    Modality,
    Options,
    Prediction,
    TranscriptSegment,
    VideoFrame,
)

log = logging.getLogger(__name__)

Unit = TypeVar("Unit", AudioChunk, VideoFrame, TranscriptSegment)
Unit_contra = TypeVar("Unit_contra", contravariant=True)


class Stage(Protocol[Unit_contra]):
    """Everything one modality does before fusion: windows or crops, quality, cues, encoder, calibration."""

    @property
    def models(self) -> Mapping[str, str]:
        """Name to SHA-256 of the models it runs, for the audit."""
        ...

    @property
    def missing(self) -> Missing | None:
        """Why the newest units gave no evidence, or None where they did."""
        ...

    async def observe(self, unit: Unit_contra) -> Prediction | None:
        """Evidence, when this unit completes some. Raises `Overloaded` when shed, `PermitRevoked`."""
        ...


class SeeingStage(Stage[VideoFrame], Protocol):
    """The face stage also tells how large the face is in the picture."""

    @property
    def face_width_px(self) -> float | None:
        """Of the face in the newest frame; None where none was found."""
        ...


class HearingStage(Stage[AudioChunk], Protocol):
    """The voice stage also tells how the person takes part in the talk."""

    def behaviour(self, media_time_s: float) -> SpeakingBehaviour | None:
        """None while nothing is heard of the microphone."""
        ...


class StageFactory(Protocol):
    """Makes the stages of one person; None where the pack has no model for a modality."""

    def face(self) -> SeeingStage | None: ...
    def voice(self) -> HearingStage | None: ...
    def text(self) -> Stage[TranscriptSegment] | None: ...
    def fusion(self, product: ProductOfExperts) -> Fusion:
        """What fuses the stages' evidence: `product`, or what is to be used instead."""
        ...

    def engagement(self) -> Scorer:
        """What scores the fused evidence: the rules, or a head trained on one's own calls."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be said about a person at one second."""

    estimate: FusedEstimate | None
    """None without fresh evidence."""
    label: Label | None
    words: tuple[str | None, str | None]
    """Of the second and third tier of the vocabulary."""
    episodes: Sequence[EpisodeChange]


@dataclass(slots=True)
class Tally:
    """Proof of inference for the audit: how much, over which span of media time, by which models."""

    models: Mapping[str, str]
    """Name to SHA-256."""
    media_from_s: float
    media_to_s: float
    count: int = 0
    """Units (frames, chunks, segments) handed to the models, with or without a prediction."""

    def take(self, media_time_s: float) -> None:
        """Count one more unit."""
        self.count += 1
        self.media_to_s = max(self.media_to_s, media_time_s)


class PipelineOptions(Options, frozen=True):
    """The settings of everything behind the encoders."""

    estimator: EstimatorOptions = EstimatorOptions()
    smoothing: SmoothingOptions = SmoothingOptions()
    episodes: EpisodeOptions = EpisodeOptions()
    labels: LabelOptions = LabelOptions()


class ParticipantPipeline:
    """Stages -> fusion -> smoothing -> episodes, for one identity. The same live, on recordings and in evaluation.

    Belongs to one event loop. A modality whose consent ends gets a new, empty stage: whatever still runs in the old
    one can no longer reach the person's estimates.
    """

    def __init__(self, stages: StageFactory, options: PipelineOptions) -> None:
        self._stages = stages
        self._options = options
        self._face = stages.face()
        self._voice = stages.voice()
        self._text = stages.text()
        fusion = stages.fusion(ProductOfExperts(options.estimator.fusion))
        self._estimator = Estimator(options.estimator, fusion, stages.engagement())
        self._smoother = Smoother(options.smoothing)
        self._episodes = Episodes(options.episodes)
        self._overloaded: set[Modality] = set()
        self._forgotten = 0
        self._tallies: dict[Modality, Tally] = {}
        self._voice_idle = asyncio.Event()
        self._voice_idle.set()

    async def see(self, frame: VideoFrame) -> None:
        """Take one picture of the person. Raises `PermitRevoked`."""
        await self._observe(Modality.FACE, self._face, frame)

    @property
    def face_width_px(self) -> float | None:
        """Width of the face in the newest frame; None where none was found."""
        return self._face.face_width_px if self._face is not None else None

    async def hear(self, chunk: AudioChunk) -> None:
        """Take a run of the person's sound. Raises `PermitRevoked`."""
        self._voice_idle.clear()
        try:
            await self._observe(Modality.VOICE, self._voice, chunk)
        finally:
            self._voice_idle.set()

    async def read(self, segment: TranscriptSegment) -> None:
        """Take some of the person's words. Raises `PermitRevoked`."""
        await self._observe(Modality.TEXT, self._text, segment)

    async def settle(self, patience_s: float) -> None:
        """Return once no voice window is being encoded, after `patience_s` at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._voice_idle.wait()

    async def reading(self, media_time_s: float) -> Reading:
        """Fuse what is fresh at `media_time_s`, smooth it, and follow the episodes. One call at a time."""
        behaviour = self._voice.behaviour(media_time_s) if self._voice is not None else None
        estimate = await self._estimate(media_time_s, behaviour)
        if estimate is not None:
            estimate = self._smoother.smooth(estimate)
        episodes = self._episodes.advance(media_time_s, estimate)
        if estimate is None:
            return Reading(None, None, (None, None), episodes)
        words = (granular(estimate), blend(estimate))
        return Reading(estimate, label(estimate, self._options.labels), words, episodes)

    async def _estimate(self, media_time_s: float, behaviour: SpeakingBehaviour | None) -> FusedEstimate | None:
        """The fused estimate; networks run in a thread. What was forgotten meanwhile gives none."""
        moment = self._estimator.moment(media_time_s, behaviour)
        if moment is None:
            return None
        if not self._estimator.blocking:
            return self._estimator.fuse(moment)
        forgotten = self._forgotten
        estimate = await asyncio.to_thread(self._estimator.fuse, moment)
        if forgotten != self._forgotten:
            self._estimator.clear_scores()
            return None
        return estimate

    def missing(self, modality: Modality) -> Missing | None:
        """Why a modality's newest units gave no evidence; None where they did or where none came."""
        stage = self._stage(modality)
        if stage is None:
            return Missing.NO_MODEL
        return Missing.OVERLOAD if modality in self._overloaded else stage.missing

    def forget(self, modality: Modality, media_time_s: float, reason: EndReason) -> Sequence[EpisodeChange]:
        """Forget all that is known through a modality; returns the ends of the episodes that rest on it."""
        self._forgotten += 1
        match modality:
            case Modality.FACE:
                self._face = self._stages.face()
            case Modality.VOICE:
                self._voice = self._stages.voice()
            case Modality.TEXT:
                self._text = self._stages.text()
        self._estimator.clear(modality)
        self._smoother.clear()
        self._overloaded.discard(modality)
        self._tallies.pop(modality, None)
        return self._episodes.end_resting_on(modality, reason, media_time_s)

    def close(self, reason: EndReason, media_time_s: float) -> Sequence[EpisodeChange]:
        """The ends of all open episodes."""
        return self._episodes.end_all(reason, media_time_s)

    def take_tally(self, modality: Modality) -> Tally | None:
        """What was inferred since the last call, or None."""
        return self._tallies.pop(modality, None)

    def _stage(self, modality: Modality) -> Stage[Any] | None:
        return {Modality.FACE: self._face, Modality.VOICE: self._voice, Modality.TEXT: self._text}[modality]

    async def _observe(self, modality: Modality, stage: Stage[Unit] | None, unit: Unit) -> None:
        unit.permit.check()
        if stage is None:
            return
        tally = self._tallies.setdefault(modality, Tally(stage.models, unit.media_time_s, unit.media_time_s))
        tally.take(unit.media_time_s)  # before the models run: what they read is proven even if it comes to nothing
        try:
            prediction = await stage.observe(unit)
        except (Overloaded, InferenceFailed) as error:
            log.debug("%s gave no evidence: %s", modality, type(error).__name__)
            self._overloaded.add(modality)
            return
        unit.permit.check()
        if prediction is None:
            return
        self._overloaded.discard(modality)
        self._estimator.add(prediction)
