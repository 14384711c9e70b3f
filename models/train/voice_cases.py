"""Whose speech the voice head learns from, and towards what."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import nemo, ravdess
from models.datasets.speech import SpeechClip

LABELS: Final = ravdess.LABELS
"""The head keeps RAVDESS' labels."""
TO_BASE: Final = {
    "neutral": "neutral",
    "calm": "neutral",
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "disgust": "disgust",
    "surprised": "surprise",
}
NEMO_LABELS: Final = {
    "anger": ("angry",),
    "fear": ("fearful",),
    "happiness": ("happy",),
    "neutral": ("neutral", "calm"),  # it does not tell the two apart
    "sadness": ("sad",),
    "surprised": ("surprised",),
}
NEMO_VALID: Final = frozenset({"MK0", "TP0"})
"""Speakers of nEMO that validation keeps for itself."""


@dataclass(frozen=True, slots=True)
class VoiceCase:
    """One clip to learn from or to choose by."""

    clip: SpeechClip
    corpus: str
    labels: tuple[str, ...]
    """What the clip may be, out of `LABELS`: any of them is right."""


def load(split: str) -> tuple[VoiceCase, ...]:
    """The cases of `split`, train or valid; empty where the corpora are absent. No EmoDB, no RAVDESS test actors."""
    english = [VoiceCase(clip, "ravdess", (clip.emotion,)) for clip in ravdess.load(split)]
    polish = [VoiceCase(clip, "nemo", NEMO_LABELS[clip.emotion]) for clip in nemo.load()]
    kept = [case for case in polish if (case.clip.speaker in NEMO_VALID) == (split == "valid")]
    return (*english, *kept)


def targets(cases: Sequence[VoiceCase]) -> NDArray[np.float32]:
    """(cases, 8) of zeros, and ones for the labels that are right."""
    return np.array([[label in case.labels for label in LABELS] for case in cases], np.float32)


def weights(cases: Sequence[VoiceCase]) -> NDArray[np.float32]:
    """(cases,) of mean 1: every corpus counts alike, and within it every emotion."""
    groups = Counter((case.corpus, case.labels) for case in cases)
    emotions = Counter(corpus for corpus, _ in groups)
    share = np.array([1 / (groups[case.corpus, case.labels] * emotions[case.corpus]) for case in cases])
    balanced: NDArray[np.float32] = (share / share.mean()).astype(np.float32)
    return balanced
