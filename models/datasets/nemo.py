"""nEMO: nine speakers of Polish in six emotions over the same 90 sentences (Christop, LREC-COLING 2024)."""

from typing import Final

from models.datasets import data_root
from models.datasets.speech import SpeechClip

LABELS: Final = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")


def load() -> tuple[SpeechClip, ...]:
    """Every clip; empty where the corpus is absent."""
    clips = []
    for path in sorted((data_root() / "voice" / "nemo").glob("*.opus")):
        speaker, emotion, _ = path.stem.split("_")
        clips.append(SpeechClip(path, speaker, emotion))
    return tuple(clips)
