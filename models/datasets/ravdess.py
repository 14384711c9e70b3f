"""RAVDESS speech: actors 01-20 speak two sentences in eight emotions (Livingstone and Russo, PLoS ONE 13(5), 2018)."""

from typing import Final

from models.datasets import data_root
from models.datasets.speech import SpeechClip

LABELS: Final = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of the corpus' codes 01 to 08."""
ACTORS: Final = {"train": range(1, 15), "valid": range(15, 18), "test": range(18, 21)}
"""Speaker-independent. Even actors are female."""


def load(split: str) -> tuple[SpeechClip, ...]:
    """The clips of `split`: train, valid or test; empty where the corpus is absent."""
    clips = []
    for path in sorted((data_root() / "voice" / "ravdess").glob("*.flac")):
        _, _, emotion, _, _, _, actor = path.stem.split("-")
        if int(actor) in ACTORS[split]:
            clips.append(SpeechClip(path, actor, LABELS[int(emotion) - 1]))
    return tuple(clips)
