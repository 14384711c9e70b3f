"""Reads recordings for tests, and tells which second of content stands at which media time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sidecar.clock import SystemClock
from sidecar.sources.recording import end_s, open_recording, read_recording
from sidecar.types import AudioChunk, Modality, Permit, VideoFrame

FACE = Permit("p", Modality.FACE)
VOICE = Permit("p", Modality.VOICE)


@dataclass(frozen=True)
class Read:
    """All of a recording."""

    units: Sequence[VideoFrame | AudioChunk]
    report: Sequence[str]

    @property
    def frames(self) -> list[VideoFrame]:
        return [unit for unit in self.units if isinstance(unit, VideoFrame)]

    @property
    def chunks(self) -> list[AudioChunk]:
        return [unit for unit in self.units if isinstance(unit, AudioChunk)]

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate([chunk.samples for chunk in self.chunks])

    def said(self, words: str) -> bool:
        """Whether a sentence of the report holds the words."""
        return any(words in sentence for sentence in self.report)

    def seen(self) -> dict[int, set[int]]:
        """From a second of media time to the seconds of content that its pictures show (`made.Make`)."""
        return _by_second(
            (frame.media_time_s, (float(frame.rgb[8:-8, 8:-8].mean()) - 20) / 12) for frame in self.frames
        )

    def heard(self) -> dict[int, set[int]]:
        """The same of the tones in whole chunks."""
        return _by_second(
            (chunk.media_time_s, (_peak_hz(chunk) - 300) / 100) for chunk in self.chunks if _is_whole(chunk)
        )


def read(path: Path, fps: float = 5.0, *, face: Permit | None = FACE, voice: Permit | None = VOICE) -> Read:
    """Read a whole file, and check the order of its units."""
    with read_recording(open_recording(path), SystemClock(), fps, face=face, voice=voice) as reader:
        units = list(reader)
        ends = [end_s(unit) for unit in units]
        assert ends == sorted(ends)
        return Read(units, list(reader.report))


def agrees(found: dict[int, set[int]], expected: dict[int, int]) -> None:
    """Check that each second of media time holds its second of content, and no other but a neighbour at the edges."""
    for second, content in expected.items():
        assert content in found.get(second, set()), (second, found)
        assert found[second] <= {content - 1, content, content + 1}, (second, found)
    assert set(found) <= set(expected), found


def _by_second(pairs) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for media_time_s, content in pairs:
        found.setdefault(int(media_time_s + 0.05), set()).add(round(content))
    return found


def _is_whole(chunk: AudioChunk) -> bool:
    return len(chunk.samples) == 1600 and float(np.abs(chunk.samples).max()) > 0.05


def _peak_hz(chunk: AudioChunk) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(chunk.samples * np.hanning(1600))))) * 10
