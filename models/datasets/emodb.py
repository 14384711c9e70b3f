"""Berlin EmoDB: ten speakers of German in seven emotions (Burkhardt et al., Interspeech 2005).

A test of transfer between corpora: no shipped model is trained on it.
"""

from typing import Final

from models.datasets import data_root
from models.datasets.speech import SpeechClip

LABELS: Final = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "anxiety",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""The sixth character of a file's name is the initial of the German word."""
FOUR: Final = ("anger", "happiness", "neutral", "sadness")
"""The classes that are scored across corpora."""


def load() -> tuple[SpeechClip, ...]:
    """Every clip; empty where the corpus is absent."""
    paths = sorted((data_root() / "voice" / "emodb").glob("*.flac"))
    return tuple(SpeechClip(path, path.stem[:2], LABELS[path.stem[5]]) for path in paths)
