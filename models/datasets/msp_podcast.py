"""MSP-Podcast: spontaneous English of podcasts (Lotfian and Busso, IEEE TAC 10(4), 2019).

Layout of releases 1.8 to 2.0: Labels/labels_consensus.csv (FileName, EmoClass, EmoAct, EmoVal, EmoDom, SpkrID, Gender,
Split_Set; some releases spell it `concensus`) and Audios/FileName, one folder of WAV files. The published splits keep
speakers apart: Train, Development, Test1; Test2 was collected otherwise and is kept as the split `test2`; the labels of
Test3 are withheld, so it is left out. Clips of unknown speakers have no subject.
"""

import math
from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, Sample
from models.datasets.layout import Row, known_label, need_all, read_rows

LABELS: Final = {
    "A": "anger",
    "S": "sadness",
    "H": "happiness",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
    "X": "undecided",
}
"""Codes of EmoClass; `undecided` is where the raters did not agree."""
SPLITS: Final = {"Train": "train", "Development": "valid", "Validation": "valid", "Test1": "test", "Test2": "test2"}
_COLUMNS: Final = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
_FIX: Final = "Ask for it at lab-msp.com (MSP-Podcast) and unpack Labels and Audios there."


def read(root: Path) -> tuple[Sample, ...]:
    """Every clip with labels. Raises `CorpusError`."""
    labels = root / "Labels"
    older = labels / "labels_concensus.csv"
    table = older if older.is_file() else labels / "labels_consensus.csv"
    rows = [row for row in read_rows(CORPUS.name, table, _COLUMNS, _FIX) if row["Split_Set"] != "Test3"]
    samples = tuple(_sample(root, table, row) for row in rows)
    need_all(CORPUS.name, (sample.path for sample in samples if sample.path), _FIX)
    return samples


def _sample(root: Path, table: Path, row: Row) -> Sample:
    where = f"{row['FileName']} in {table}"
    return Sample(
        name=row["FileName"],
        subject=row["SpkrID"] if row["SpkrID"].strip().lower() not in ("", "unknown") else None,
        label=LABELS[known_label(CORPUS.name, where, row["EmoClass"], LABELS)],
        path=root / "Audios" / row["FileName"],
        vad=(_scaled(row["EmoVal"]), _scaled(row["EmoAct"]), _scaled(row["EmoDom"])),
        split=SPLITS[known_label(CORPUS.name, where, row["Split_Set"], SPLITS)],
        attributes={"gender": row["Gender"].lower(), "language": "en"},
    )


def _scaled(rating: str) -> float:
    """-1..1 of the raters' 1 to 7; NaN where there is none."""
    return (float(rating) - 4) / 3 if rating else math.nan


CORPUS: Final = Corpus(
    name="msp-podcast",
    modality="voice",
    licence="MSP-Podcast licence: by agreement with UT Dallas",
    commercial=False,
    citation="Lotfian and Busso, Building naturalistic emotionally balanced speech corpus, IEEE TAC 10(4), 2019",
    source="https://www.lab-msp.com/MSP/MSP-Podcast.html",
    labels=tuple(LABELS.values()),
    to_base={label: label for label in LABELS.values() if label not in ("other", "undecided")},
    read=read,
)
