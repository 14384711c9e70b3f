"""Indian EmoSpeech Command 0.1: command words in Hindi and English on phones (Banga et al., arXiv:1910.13801, 2019).

The part on hand is that of known speakers with a keyword, renamed speaker-emotion-word-number. The published names are
keyword-environment-emotion-timestamp-hash, where the hash stands for the speaker; both are read.
"""

from pathlib import Path
from typing import Final

from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.layout import files_in

LABELS: Final = ("angry", "calm", "fearful", "happy")
TO_BASE: Final = {"angry": "anger", "calm": "neutral", "fearful": "fear", "happy": "happiness"}
WORDS: Final = {"bacho": "hi", "help": "en", "stop": "en", "no": "en", "go": "en", "yes": "en"}
"""Command word to its language; some clips hold an `unknown` word of either."""
_UNKNOWN: Final = "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"
"""The hash that the publishers give to everybody they do not know."""
_FIX: Final = "Clone github.com/RakshakTeam/emospeech-dataset-v1 there."


def read(root: Path) -> tuple[Sample, ...]:
    """Clips with an emotion; those of no known speaker or without a word (`background`) are left out."""
    paths = files_in(CORPUS.name, root, ("*.opus", "*.wav", "*/*.wav"), _FIX)
    samples = (_renamed(path) if path.stem[:1].isdecimal() else _published(path) for path in paths)
    return tuple(sample for sample in samples if sample is not None)


def _renamed(path: Path) -> Sample:
    words = path.stem.split("-")
    if len(words) != 4:
        raise CorpusError(f"{CORPUS.name}: {path} is not named speaker-emotion-word-number")
    return _sample(path, words[0], words[1], words[2])


def _published(path: Path) -> Sample | None:
    words = path.stem.split("-")
    if len(words) != 5:
        raise CorpusError(f"{CORPUS.name}: {path} is not named keyword-environment-emotion-timestamp-hash")
    word, _, emotion, _, speaker = words
    known = speaker != _UNKNOWN and word != "background" and emotion.lower() in LABELS
    return _sample(path, speaker, emotion.lower(), word) if known else None


def _sample(path: Path, speaker: str, emotion: str, word: str) -> Sample:
    if emotion not in LABELS or word not in (*WORDS, "unknown"):
        raise CorpusError(f"{CORPUS.name}: {path} is of an unknown emotion or word ({emotion}, {word})")
    language = {"language": WORDS[word]} if word in WORDS else {}
    return Sample(path.stem, speaker, emotion, path, attributes={"word": word} | language)


CORPUS: Final = Corpus(
    name="emospeech",
    modality="voice",
    licence="CC BY-NC-SA 4.0",
    commercial=False,
    citation="Banga et al., Indian EmoSpeech Command Dataset, arXiv:1910.13801, 2019",
    source="https://github.com/RakshakTeam/emospeech-dataset-v1",
    labels=LABELS,
    to_base=TO_BASE,
    read=read,
    folder="voice/emospeech",
)
