"""RAVDESS speech: actors 01-20 speak two sentences in eight emotions (Livingstone and Russo, PLoS ONE 13(5), 2018)."""

from pathlib import Path
from typing import Final

from models.datasets import data_root
from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import files_in
from models.datasets.speech import SpeechClip

LABELS: Final = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of the corpus' codes 01 to 08."""
ACTORS: Final = {"train": range(1, 15), "valid": range(15, 18), "test": range(18, 21)}
"""Speaker-independent. Even actors are female."""
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
_FIX: Final = "Unpack Audio_Speech_Actors_01-24.zip of zenodo.org/records/1188976 there."


def load(split: str) -> tuple[SpeechClip, ...]:
    """The clips of `split`: train, valid or test; empty where the corpus is absent."""
    clips = []
    for path in sorted((data_root() / "voice" / "ravdess").glob("*.flac")):
        _, _, emotion, _, _, _, actor = path.stem.split("-")
        if int(actor) in ACTORS[split]:
            clips.append(SpeechClip(path, actor, LABELS[int(emotion) - 1]))
    return tuple(clips)


def read(root: Path) -> tuple[Sample, ...]:
    """The speech clips below `root`, in one folder or in the `Actor_NN` folders of the published archive."""
    patterns = ("03-01-*.flac", "03-01-*.wav", "Actor_*/03-01-*.wav")
    return tuple(_sample(path) for path in files_in(CORPUS.name, root, patterns, _FIX))


def _sample(path: Path) -> Sample:
    codes = path.stem.split("-")
    if len(codes) != 7 or not "".join(codes).isdecimal() or not 1 <= int(codes[2]) <= len(LABELS):
        raise CorpusError(f"{CORPUS.name}: {path} is not named as the corpus names its clips (03-01-06-01-02-01-12)")
    actor = int(codes[6])
    return Sample(
        name=path.stem,
        subject=codes[6],
        label=LABELS[int(codes[2]) - 1],
        path=path,
        split=next((split for split, actors in ACTORS.items() if actor in actors), "unseen"),
        attributes={
            "gender": "male" if actor % 2 else "female",
            "language": "en",
            "intensity": ("normal", "strong")[int(codes[3]) - 1],
        },
    )


CORPUS: Final = Corpus(
    name="ravdess",
    modality="voice",
    licence="CC BY-NC-SA 4.0",
    commercial=False,
    citation="Livingstone and Russo, The Ryerson audio-visual database, PLoS ONE 13(5), 2018",
    source="https://zenodo.org/records/1188976",
    labels=LABELS,
    to_base=TO_BASE,
    read=read,
    folder="voice/ravdess",
)
