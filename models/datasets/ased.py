"""ASED 1: 65 speakers of Amharic in five emotions (Retta et al., doi 10.1145/3529759, arXiv:2201.02710).

Most sentences belong to one emotion, so the words give the label away: train on it, report nothing on it. Two
of its 27 sentences were spoken in every emotion; the names of the files do not say which.
"""

from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import files_in

LABELS: Final = ("neutral", "fearful", "happy", "sad", "angry")
"""Their first letters, with the number of the folder behind, begin the names of the files."""
TO_BASE: Final = {"neutral": "neutral", "fearful": "fear", "happy": "happiness", "sad": "sadness", "angry": "anger"}
_LETTERS: Final = {label[0]: label for label in LABELS}
_FIX: Final = "Clone github.com/Ethio2021/ASED_V1 there."


def read(root: Path) -> tuple[Sample, ...]:
    """Every clip below `root`, or in the five folders of the published repository."""
    return tuple(_sample(path) for path in files_in(CORPUS.name, root, ("*.opus", "*.wav", "*/*.wav"), _FIX))


def _sample(path: Path) -> Sample:
    words = path.stem.split("-")
    if len(words) != 5 or words[0][:1].lower() not in _LETTERS:
        raise CorpusError(f"{CORPUS.name}: {path} is not named as the corpus names its clips (a5-03-01-02-50)")
    emotion, sentence, _, gender, speaker = words
    return Sample(
        name=path.stem,
        subject=speaker,
        label=_LETTERS[emotion[0].lower()],
        path=path,
        attributes={"gender": "female" if gender == "01" else "male", "language": "am", "sentence": sentence},
    )


CORPUS: Final = Corpus(
    name="ased",
    modality="voice",
    licence="none stated; cite the paper",
    commercial=False,
    citation="Retta et al., A new Amharic speech emotion dataset and classification benchmark, doi 10.1145/3529759",
    source="https://github.com/Ethio2021/ASED_V1",
    labels=LABELS,
    to_base=TO_BASE,
    read=read,
    folder="voice/ased",
)
