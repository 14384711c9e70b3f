"""Berlin EmoDB: ten speakers of German in seven emotions (Burkhardt et al., Interspeech 2005).

A test of transfer between corpora: no shipped model is trained on it.
"""

from pathlib import Path
from typing import Final

from models.datasets import data_root
from models.datasets.corpus import Corpus, Sample
from models.datasets.layout import files_in, known_label
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
TO_BASE: Final = {label: "fear" if label == "anxiety" else label for label in LABELS.values() if label != "boredom"}
"""Boredom is no base emotion."""
SPEAKERS: Final = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
"""Gender and age, from the corpus' own pages."""
_FIX: Final = "Unpack the corpus (emodb.bilderbar.info) there."


def load() -> tuple[SpeechClip, ...]:
    """Every clip; empty where the corpus is absent."""
    paths = sorted((data_root() / "voice" / "emodb").glob("*.flac"))
    return tuple(SpeechClip(path, path.stem[:2], LABELS[path.stem[5]]) for path in paths)


def read(root: Path) -> tuple[Sample, ...]:
    """Every clip below `root`, or in the `wav` folder of the published archive."""
    return tuple(_sample(path) for path in files_in(CORPUS.name, root, ("*.flac", "*.wav", "wav/*.wav"), _FIX))


def _sample(path: Path) -> Sample:
    speaker, letter = path.stem[:2], path.stem[5:6]
    known_label(CORPUS.name, path, speaker, SPEAKERS)
    gender, age = SPEAKERS[speaker]
    return Sample(
        name=path.stem,
        subject=speaker,
        label=LABELS[known_label(CORPUS.name, path, letter, LABELS)],
        path=path,
        attributes={"gender": gender, "age": str(age), "language": "de"},
    )


CORPUS: Final = Corpus(
    name="emodb",
    modality="voice",
    licence="none stated; cite the paper",
    commercial=False,
    citation="Burkhardt et al., A database of German emotional speech, Interspeech 2005",
    source="http://emodb.bilderbar.info",
    labels=tuple(LABELS.values()),
    to_base=TO_BASE,
    read=read,
    folder="voice/emodb",
)
