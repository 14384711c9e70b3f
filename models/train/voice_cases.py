"""Whose speech a voice encoder learns from, and towards what."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import ravdess
from models.datasets.catalogue import load
from models.datasets.corpus import Corpus, CorpusError, Sample
from models.datasets.splits import partition
from sidecar.types import EMOTIONS

HELD_OUT: Final = {"nemo": frozenset({"MK0", "TP0"})}
"""Speakers that validation keeps for itself, of corpora that are not tested on: the others of them are trained on."""
TRAINED_ON: Final = frozenset({"ased", "emospeech"})
"""Corpora that nothing can be judged on: in the first the words give the label away, the second are single words."""


@dataclass(frozen=True, slots=True)
class CorpusClip:
    """A sample as the windows take it."""

    sample: Sample

    @property
    def path(self) -> Path:
        """Of the sound file."""
        assert self.sample.path is not None
        return self.sample.path

    @property
    def speaker(self) -> str:
        """The subject; a clip of nobody in particular stands for itself."""
        return self.sample.subject or self.sample.name

    @property
    def emotion(self) -> str:
        """In the words of the corpus."""
        return str(self.sample.label)

    def samples(self) -> NDArray[np.float32]:
        """(samples,) float32, 16 kHz mono."""
        return self.sample.audio()


@dataclass(frozen=True, slots=True)
class VoiceCase:
    """One clip to learn from or to choose by."""

    clip: CorpusClip
    corpus: str
    labels: tuple[str, ...]
    """What the clip may be, out of the head's labels: any of them is right."""


@dataclass(frozen=True, slots=True)
class Material:
    """All that a recipe's corpora give. Test splits are in neither part."""

    corpora: tuple[Corpus, ...]
    labels: tuple[str, ...]
    """Of the head: RAVDESS' own where it is among the corpora, else the base emotions that there are clips of."""
    to_base: dict[str, str]
    train: tuple[VoiceCase, ...]
    valid: tuple[VoiceCase, ...]


def assemble(references: Sequence[str]) -> Material:
    """The cases of the corpora, as `models.datasets.catalogue` names them: `nemo`, `crema_d:PATH`, `folder:PATH`.

    Raises `CorpusError` for a corpus that is absent or half unpacked, or a label without clips on either side.
    """
    loaded = [load(reference, "voice") for reference in references]
    known = {corpus.base(sample) for corpus, samples in loaded for sample in samples}
    to_base: dict[str, str] = {emotion: emotion for emotion in EMOTIONS if emotion in known}
    if any(corpus.name == ravdess.CORPUS.name for corpus, _ in loaded):
        to_base = dict(ravdess.TO_BASE)
    parts: dict[str, list[VoiceCase]] = {"train": [], "valid": []}
    for corpus, samples in loaded:
        for split in parts:
            parts[split] += _cases(corpus, _split(corpus, samples, split), to_base)
    for split, cases in parts.items():
        _require(tuple(to_base), cases, split, references)
    names = tuple(corpus for corpus, _ in loaded)
    return Material(names, tuple(to_base), to_base, tuple(parts["train"]), tuple(parts["valid"]))


def contents(material: Material) -> list[tuple[object, ...]]:
    """What tells one material from another: each clip's name, size in bytes, labels and part, without its sound."""
    return [
        (part, case.corpus, case.clip.sample.name, case.clip.path.stat().st_size, case.labels, case.clip.sample.vad)
        for part, cases in (("train", material.train), ("valid", material.valid))
        for case in cases
    ]


def targets(cases: Sequence[VoiceCase], labels: Sequence[str]) -> NDArray[np.float32]:
    """(cases, labels) of zeros, and ones for the labels that are right."""
    return np.array([[label in case.labels for label in labels] for case in cases], np.float32)


def weights(cases: Sequence[VoiceCase]) -> NDArray[np.float32]:
    """(cases,) of mean 1: every corpus counts alike, and within it every emotion."""
    groups = Counter((case.corpus, case.labels) for case in cases)
    emotions = Counter(corpus for corpus, _ in groups)
    share = np.array([1 / (groups[case.corpus, case.labels] * emotions[case.corpus]) for case in cases])
    balanced: NDArray[np.float32] = (share / share.mean()).astype(np.float32)
    return balanced


def _split(corpus: Corpus, samples: Sequence[Sample], split: str) -> tuple[Sample, ...]:
    if corpus.name in TRAINED_ON:
        return tuple(samples) if split == "train" else ()
    if (held_out := HELD_OUT.get(corpus.name)) is not None:
        return tuple(each for each in samples if (each.subject in held_out) == (split == "valid"))
    try:
        return partition(samples)[split]
    except CorpusError as error:
        raise CorpusError(f"{corpus.name}: {error}") from error


def _cases(corpus: Corpus, samples: Sequence[Sample], to_base: dict[str, str]) -> list[VoiceCase]:
    """Where the head has the corpus' own word that one is right, else every label of the same base emotion."""
    cases = []
    for sample in samples:
        base = corpus.base(sample)
        own = sample.label is not None and to_base.get(sample.label) == base and corpus.name == ravdess.CORPUS.name
        right = (str(sample.label),) if own else tuple(label for label, to in to_base.items() if to == base)
        if right:
            cases.append(VoiceCase(CorpusClip(sample), corpus.name, right))
    return cases


def _require(labels: Sequence[str], cases: Sequence[VoiceCase], split: str, references: Sequence[str]) -> None:
    """Raises `CorpusError` naming the labels that nothing in the split may be."""
    shown = {label for case in cases for label in case.labels}
    if absent := [label for label in labels if label not in shown]:
        raise CorpusError(
            f"{', '.join(references)}: no clip of {', '.join(absent)} in the {split} split ({len(cases)} clips); a "
            "class cannot be learned or judged from nothing: add clips or speakers, or leave it out (labels.toml)"
        )
