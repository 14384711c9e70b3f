"""IEMOCAP: ten actors of English in pairs, five sessions (Busso et al., Language Resources and Evaluation 42, 2008).

Layout of `IEMOCAP_full_release`: SessionN/dialog/EmoEvaluation/DIALOG.txt holds a line for each turn,
`[start - end] TURN EMOTION [valence, activation, dominance]`, and SessionN/sentences/wav/DIALOG/TURN.wav its sound.
The last part of a turn's name says who speaks: Ses01F_impro01_M003 is the man of session 1. No splits are published; by
custom a session is left out at a time (`attributes["session"]`), since the two of a pair speak on one recording.
"""

import re
from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import files_in, need_all, need_folder

LABELS: Final = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excitement",
    "sad": "sadness",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "neu": "neutral",
    "oth": "other",
    "xxx": "undecided",
}
"""Codes of the evaluation files; `undecided` is where the raters had no majority."""
TO_BASE: Final = {
    "anger": "anger",
    "happiness": "happiness",
    "excitement": "happiness",
    "sadness": "sadness",
    "fear": "fear",
    "surprise": "surprise",
    "disgust": "disgust",
    "neutral": "neutral",
}
"""Excitement joins happiness, as most do; frustration lies between anger and sadness and teaches neither."""
SESSIONS: Final = range(1, 6)
_TURN: Final = re.compile(r"^\[[\d.]+ - [\d.]+\]\t(Ses\w+)\t(\w+)\t\[([\d.]+), ([\d.]+), ([\d.]+)\]", re.MULTILINE)
_FIX: Final = "Ask for it at sail.usc.edu/iemocap and unpack all five sessions of IEMOCAP_full_release there."


def read(root: Path) -> tuple[Sample, ...]:
    """Every rated turn. Raises `CorpusError`."""
    return tuple(sample for session in SESSIONS for sample in _session(root, session))


def _session(root: Path, number: int) -> list[Sample]:
    session = need_folder(CORPUS.name, root / f"Session{number}", _FIX)
    turns: list[Sample] = []
    for path in files_in(CORPUS.name, session / "dialog" / "EmoEvaluation", ("Ses*.txt",), _FIX):
        found = _TURN.findall(path.read_text("utf-8"))
        if not found:
            raise CorpusError(f"{CORPUS.name}: {path} has no line `[start - end] turn emotion [v, a, d]`. {_FIX}")
        turns += [_sample(session, number, path, *turn) for turn in found]
    need_all(CORPUS.name, (turn.path for turn in turns if turn.path), _FIX)
    return turns


def _sample(session: Path, number: int, where: Path, turn: str, code: str, *ratings: str) -> Sample:
    if code not in LABELS:
        raise CorpusError(f"{CORPUS.name}: {where}: {turn} is labelled {code!r}, which is none of {', '.join(LABELS)}")
    speaker = turn.rsplit("_", 1)[1][0]
    valence, arousal, dominance = ((float(rating) - 3) / 2 for rating in ratings)  # rated 1 to 5
    return Sample(
        name=turn,
        subject=f"Ses{number:02}{speaker}",
        label=LABELS[code],
        path=session / "sentences" / "wav" / where.stem / f"{turn}.wav",
        vad=(valence, arousal, dominance),
        attributes={"gender": {"F": "female", "M": "male"}[speaker], "language": "en", "session": str(number)},
    )


CORPUS: Final = Corpus(
    name="iemocap",
    modality="voice",
    licence="IEMOCAP licence: research, by agreement with USC",
    commercial=False,
    citation="Busso et al., IEMOCAP: interactive emotional dyadic motion capture database, LRE 42, 2008",
    source="https://sail.usc.edu/iemocap",
    labels=tuple(LABELS.values()),
    to_base=TO_BASE,
    read=read,
)
