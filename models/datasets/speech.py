"""What the voice corpora have in common: a clip of one person's speech with one acted emotion."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000


@dataclass(frozen=True, slots=True)
class SpeechClip:
    """One file of a corpus."""

    path: Path
    speaker: str
    emotion: str
    """In the words of the corpus."""

    def samples(self) -> NDArray[np.float32]:
        """(samples,) 16 kHz mono, -1..1. Raises ValueError for a file of another rate or with more channels."""
        samples, rate_hz = soundfile.read(self.path, dtype="float32", always_2d=True)
        if rate_hz != SAMPLE_RATE_HZ or samples.shape[1] != 1:
            raise ValueError(f"{self.path}: {samples.shape[1]} channels at {rate_hz} Hz, want mono at {SAMPLE_RATE_HZ}")
        mono: NDArray[np.float32] = samples[:, 0]
        return mono
