"""The voice stage: chunks -> speech -> windows -> voice encoder -> calibrated evidence."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from sidecar.fusion.calibration import Calibration, EncodedUnit, to_prediction
from sidecar.fusion.engagement import SpeakingBehaviour
from sidecar.fusion.speaker_baseline import SpeakerBaseline, SpeakerOptions
from sidecar.inference.encoder import Encoder
from sidecar.inference.silero import SileroVad, VadStream
from sidecar.media.audio_window import AudioWindowOptions, AudioWindows, Cut, measure
from sidecar.media.speech_gate import SpeechGate, SpeechGateOptions
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, AudioWindow, Missing, Modality, Options, Permit, Prediction

_SHARE_S = 20.0
_HEARD_WITHIN_S = 2.0


class VoiceOptions(Options, frozen=True):
    """The settings of the voice stage."""

    gate: SpeechGateOptions = SpeechGateOptions()
    window: AudioWindowOptions = AudioWindowOptions()
    speaker: SpeakerOptions = SpeakerOptions()


class VoiceStage:
    """One person's voice. To be given one chunk after the other.

    What is typical of the person is kept here and goes with the stage, of which a revoked consent makes a new one.
    """

    def __init__(
        self,
        vad: SileroVad,
        encoder: Encoder[AudioWindow],
        calibration: Calibration,
        *,
        models: Mapping[str, str],
        options: VoiceOptions,
        telemetry: Telemetry,
    ) -> None:
        self.models = models
        self._vad = vad
        self._encoder = encoder
        self._calibration = calibration
        self._telemetry = telemetry
        self._stream = VadStream()
        self._gate = SpeechGate(options.gate)
        self._windows = AudioWindows(self._gate, options.window)
        self._speaker = SpeakerBaseline(calibration, options.speaker)
        self._permit: Permit | None = None
        self._begun_s = self._end_s = 0.0

    @property
    def missing(self) -> Missing | None:
        """Without fresh evidence of the voice there was no speech, or not enough of it for a window."""
        return None if self._permit is None else Missing.NO_SPEECH

    def behaviour(self, media_time_s: float) -> SpeakingBehaviour | None:
        """How the person takes part in the talk; None while nothing is heard of the microphone."""
        if self._permit is None or media_time_s - self._end_s > _HEARD_WITHIN_S:
            return None
        since_s = max(self._begun_s, self._end_s - _SHARE_S)
        span_s = max(self._end_s - since_s, 1.0)
        share = min(1.0, self._gate.speech_s(since_s, self._end_s) / span_s)
        return SpeakingBehaviour(self._gate.speaking, share, self._permit)

    async def observe(self, unit: AudioChunk) -> Prediction | None:
        """Raises `Overloaded` and `PermitRevoked`."""
        if self._permit is None:
            self._begun_s = unit.media_time_s
        self._permit, self._end_s = unit.permit, unit.end_s
        start_s, probabilities = await self._vad.detect(self._stream, unit)
        self._gate.push(start_s, probabilities)
        bad_before = self._windows.not_finite
        cuts = self._windows.push(unit)
        if self._windows.not_finite > bad_before:
            self._telemetry.dropped.labels("audio_window", "not_finite").inc(self._windows.not_finite - bad_before)
        return await self._encode(cuts[-1]) if cuts else None

    async def _encode(self, cut: Cut) -> Prediction:
        window = await asyncio.to_thread(measure, cut)
        output = await self._encoder.encode(window)
        if output.logits.shape == (self._calibration.labels,):
            output = replace(output, logits=self._speaker.adjust(output.logits))
        unit = EncodedUnit(
            Modality.VOICE, window.quality, window.cues, window.media_to_s, window.arrived_s, window.permit
        )
        return to_prediction(output, self._calibration, unit)
