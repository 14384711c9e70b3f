"""nEMO: nine speakers of Polish in six emotions over the same 90 sentences (Christop, LREC-COLING 2024)."""

from pathlib import Path
from typing import Final

from models.datasets import data_root
from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import files_in, known_label, read_rows
from models.datasets.speech import SpeechClip

LABELS: Final = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")
TO_BASE: Final = {label: "surprise" if label == "surprised" else label for label in LABELS}
_FIX: Final = "Clone github.com/amu-cai/nEMO there."


def load() -> tuple[SpeechClip, ...]:
    """Every clip; empty where the corpus is absent."""
    clips = []
    for path in sorted((data_root() / "voice" / "nemo").glob("*.opus")):
        speaker, emotion, _ = path.stem.split("_")
        clips.append(SpeechClip(path, speaker, emotion))
    return tuple(clips)


def read(root: Path) -> tuple[Sample, ...]:
    """Every clip below `root`, or in the `samples` folder of the published repository, whose table adds the gender."""
    table = root / "data.tsv"
    rows = read_rows(CORPUS.name, table, ("speaker_id", "gender"), _FIX, "\t") if table.is_file() else []
    genders = {row["speaker_id"]: row["gender"] for row in rows}
    paths = files_in(CORPUS.name, root, ("*.opus", "*.wav", "samples/*.wav"), _FIX)
    return tuple(_sample(path, genders) for path in paths)


def _sample(path: Path, genders: dict[str, str]) -> Sample:
    words = path.stem.split("_")
    if len(words) != 3:
        raise CorpusError(f"{CORPUS.name}: {path} is not named speaker_emotion_sentence")
    speaker, emotion, sentence = words
    gender = {"gender": genders[speaker]} if speaker in genders else {}
    label = known_label(CORPUS.name, path, emotion, LABELS)
    return Sample(path.stem, speaker, label, path, attributes={"language": "pl", "sentence": sentence} | gender)


CORPUS: Final = Corpus(
    name="nemo",
    modality="voice",
    licence="CC BY-NC-SA 4.0",
    commercial=False,
    citation="Christop, nEMO: dataset of emotional speech in Polish, LREC-COLING 2024",
    source="https://github.com/amu-cai/nEMO",
    labels=LABELS,
    to_base=TO_BASE,
    read=read,
    folder="voice/nemo",
)
