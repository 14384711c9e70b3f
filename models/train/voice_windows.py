"""Ways to cut 3 s out of a clip: as recorded, inside speech, that as a call delivers it, as another voice says it."""

from collections.abc import Sequence
from typing import Protocol

from models.train.call_audio import Random, Samples, centred, degraded, live_window, varied


class Spoken(Protocol):
    """A clip of one person's speech in one emotion."""

    @property
    def speaker(self) -> str: ...
    @property
    def emotion(self) -> str: ...
    def samples(self) -> Samples:
        """(samples,) float32, 16 kHz mono, -1..1."""
        ...


def as_recorded(clip: Spoken) -> Samples:
    """(48000,) the middle of the clip, silence before and after the sentence included."""
    return centred(clip.samples())


def in_speech(clip: Spoken, clips: Sequence[Spoken], random: Random) -> Samples:
    """(48000,) anywhere inside speech: the clip, and mostly one more by the same person in the same emotion."""
    alike = [other for other in clips if (other.speaker, other.emotion) == (clip.speaker, clip.emotion)]
    companion = alike[random.integers(len(alike))]
    joined = [clip, companion] if random.random() < 0.8 else [clip]
    return live_window([part.samples() for part in joined], random)


def in_a_call(clip: Spoken, clips: Sequence[Spoken], random: Random) -> Samples:
    """(48000,) the same after a room, noise, a telephone, another level or Opus, by chance."""
    return degraded(in_speech(clip, clips, random), random)


def in_another_voice(clip: Spoken, random: Random) -> Samples:
    """(48000,) the middle of the clip at another pitch and pace."""
    return centred(varied(clip.samples(), random))
