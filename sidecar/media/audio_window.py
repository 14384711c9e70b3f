"""Fixed windows over one person's sound, on a grid of media time, where enough of it is speech."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Annotated, Final

import msgspec
import numpy as np

from sidecar.media.audio_quality import audio_quality
from sidecar.media.speech_gate import Span, SpeechGate
from sidecar.media.voice_cues import voice_cues
from sidecar.types import SAMPLE_RATE_HZ, AudioChunk, AudioWindow, FloatArray, Options, Permit

WINDOW_S: Final = 3.0
"""What the voice encoders take."""
_WINDOW: Final = int(WINDOW_S * SAMPLE_RATE_HZ)


class AudioWindowOptions(Options, frozen=True):
    """How often a window is due, and with how much speech in it."""

    hop_s: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 1.0
    min_speech_s: Annotated[float, msgspec.Meta(ge=0.1, le=3)] = 1.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A window as it was cut from the stream, not measured yet."""

    samples: FloatArray  # (48000,) float32, mono 16 kHz, silence before the stream began
    media_to_s: float
    arrived_s: float
    speech: Sequence[Span]
    permit: Permit


class AudioWindows:
    """One person's last three seconds.

    Windows end at whole multiples of the hop, so that all people's windows fall together and a recording is cut the
    same at every run. A short gap (a mute, lost packets) is silence; after one longer than a window all starts anew.
    """

    def __init__(self, gate: SpeechGate, options: AudioWindowOptions) -> None:
        self._gate = gate
        self._options = options
        self.not_finite = 0
        """Samples that were no numbers and became silence."""
        self.clear()

    def clear(self) -> None:
        """Forget all sound."""
        self._samples: FloatArray = np.zeros(_WINDOW, np.float32)  # the newest three seconds
        self._end: int | None = None  # media time after them, in samples
        self._permit: Permit | None = None

    def push(self, chunk: AudioChunk) -> list[Cut]:
        """Take a chunk that the gate has heard already; returns the windows that it completes, usually none.

        Raises `PermitRevoked`. Costs some 20 us; measuring a cut with `measure` takes milliseconds.
        """
        chunk.permit.check()
        if chunk.permit is not self._permit:
            self.clear()
            self._permit = chunk.permit
        samples, bad = finite(chunk.samples)
        self.not_finite += bad
        start = round(chunk.media_time_s * SAMPLE_RATE_HZ)
        if self._end is None or start - self._end > _WINDOW:
            self._samples = np.zeros(_WINDOW, np.float32)
            self._end = start
        samples = samples[max(0, self._end - start) :]  # what was heard before is not heard again
        self._append(np.zeros(max(0, start - self._end), np.float32))
        return self._cut(samples, chunk)

    def _cut(self, samples: FloatArray, chunk: AudioChunk) -> list[Cut]:
        """Append the samples, stopping at every point of the grid to look back."""
        hop = round(self._options.hop_s * SAMPLE_RATE_HZ)
        cuts: list[Cut] = []
        while len(samples):
            assert self._end is not None
            due = (floor(self._end / hop) + 1) * hop
            part, samples = samples[: due - self._end], samples[due - self._end :]
            self._append(part)
            to_s = self._end / SAMPLE_RATE_HZ
            speech = self._gate.spans(to_s - WINDOW_S, to_s) if self._end == due else ()
            if sum(span.to_s - span.from_s for span in speech) >= self._options.min_speech_s:
                cuts.append(Cut(self._samples.copy(), to_s, chunk.arrived_s, speech, chunk.permit))
        return cuts

    def _append(self, samples: FloatArray) -> None:
        assert self._end is not None
        self._end += len(samples)
        if len(samples):
            self._samples = np.concatenate([self._samples, samples])[-_WINDOW:]


def finite(samples: FloatArray) -> tuple[FloatArray, int]:
    """The samples within -1..1, those that are no numbers as 0, and how many these were."""
    if np.abs(samples).max(initial=0) <= 1:  # false for what is no number, too
        return samples, 0
    good = np.isfinite(samples)
    bad = int(len(samples) - np.count_nonzero(good))
    if bad:
        samples = np.where(good, samples, np.float32(0))
    return np.clip(samples, -1.0, 1.0, dtype=np.float32), bad


def measure(cut: Cut) -> AudioWindow:
    """The window with its cues and quality. Blocking, some milliseconds: not for the event loop."""
    from_s = cut.media_to_s - WINDOW_S
    speech = np.zeros(_WINDOW, np.bool_)
    for span in cut.speech:
        speech[round((span.from_s - from_s) * SAMPLE_RATE_HZ) : round((span.to_s - from_s) * SAMPLE_RATE_HZ)] = True
    return AudioWindow(
        samples=cut.samples,
        media_from_s=from_s,
        media_to_s=cut.media_to_s,
        arrived_s=cut.arrived_s,
        speech_s=float(np.count_nonzero(speech)) / SAMPLE_RATE_HZ,
        quality=audio_quality(cut.samples, speech),
        cues=voice_cues(cut.samples, speech),
        permit=cut.permit,
    )
