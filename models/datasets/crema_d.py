"""CREMA-D: 91 actors of English in six emotions (Cao et al., IEEE Transactions on Affective Computing 5(4), 2014).

Layout of the published repository: AudioWAV/1001_DFA_ANG_XX.wav (actor, sentence, intended emotion, intensity),
VideoDemographics.csv (ActorID, Age, Sex, Race, Ethnicity) and processedResults/summaryTable.csv (FileName, VoiceVote:
the letters of the emotions that most listeners heard). The label is what was intended; what was heard is kept as
`votes`, since the two differ on many clips. No splits are published. One clip is silent and left out.
"""

from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import Row, files_in, read_rows

LABELS: Final = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
_CODES: Final = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), LABELS, strict=True))
_LETTERS: Final = "ADFHNS"
_LEVELS: Final = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
_SILENT: Final = "1076_MTI_SAD_XX"
_FIX: Final = "Clone github.com/CheyneyComputerScience/CREMA-D there with Git LFS."


def read(root: Path) -> tuple[Sample, ...]:
    """Every clip. Raises `CorpusError`, also where an actor of the table has none."""
    columns = ("ActorID", "Age", "Sex", "Race", "Ethnicity")
    actors = {row["ActorID"]: row for row in read_rows(CORPUS.name, root / "VideoDemographics.csv", columns, _FIX)}
    votes = _votes(root / "processedResults" / "summaryTable.csv")
    clips = files_in(CORPUS.name, root / "AudioWAV", ("*.wav",), _FIX)
    samples = tuple(_sample(path, actors, votes) for path in clips if path.stem != _SILENT)
    silent = sorted(actors.keys() - {sample.subject for sample in samples})
    if silent:
        raise CorpusError(
            f"{CORPUS.name}: half unpacked: {root / 'AudioWAV'} has no clip of the actors {', '.join(silent[:5])} "
            f"({len(silent)} of {len(actors)}). {_FIX}"
        )
    return samples


def _votes(path: Path) -> dict[str, tuple[float, ...]]:
    """Clip to a weight for each emotion: equal where several tie for most votes."""
    rows = read_rows(CORPUS.name, path, ("VoiceVote",), _FIX)
    heard = {row.get("FileName") or row["fileName"]: row["VoiceVote"].split(":") for row in rows}
    return {clip: tuple(float(letter in letters) for letter in _LETTERS) for clip, letters in heard.items()}


def _sample(path: Path, actors: dict[str, Row], votes: dict[str, tuple[float, ...]]) -> Sample:
    words = path.stem.split("_")
    if len(words) != 4 or words[0] not in actors or words[2] not in _CODES:
        raise CorpusError(f"{CORPUS.name}: {path} is not named actor_sentence_emotion_level of an actor in the table")
    actor = actors[words[0]]
    return Sample(
        name=path.stem,
        subject=words[0],
        label=_CODES[words[2]],
        path=path,
        votes=votes.get(path.stem),
        attributes={
            "gender": actor["Sex"].lower(),
            "age": actor["Age"],
            "race": actor["Race"],
            "ethnicity": actor["Ethnicity"],
            "language": "en",
            "intensity": _LEVELS.get(words[3], "unspecified"),
        },
    )


CORPUS: Final = Corpus(
    name="crema-d",
    modality="voice",
    licence="ODbL 1.0, contents DbCL 1.0",
    commercial=True,
    citation="Cao et al., CREMA-D: crowd-sourced emotional multimodal actors dataset, IEEE TAC 5(4), 2014",
    source="https://github.com/CheyneyComputerScience/CREMA-D",
    labels=LABELS,
    to_base={label: label for label in LABELS},
    read=read,
)
