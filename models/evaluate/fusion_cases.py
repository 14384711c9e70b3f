"""Pairs and triples of modalities for fusion, made from the held-out parts of corpora of one modality each.

No corpus on hand has face, voice and words of one person at one moment, so units are put together by their emotion: a
face of FER+, a clip of RAVDESS and an utterance of MELD or a comment of GoEmotions, from the validation splits to
choose and train by, from the test splits to judge by. `agreeing` units have one emotion. `conflicting` ones have two
emotions of clearly opposite valence, none of them neutral: the person smiles and sounds angry. What such pairs leave
out is stated wherever they are used: real modalities of one moment depend on each other, and people mix feelings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import ferplus, goemotions, meld, ravdess
from models.evaluate import text
from models.evaluate.encoders import encoder, open_model
from models.evaluate.results import PACK
from models.evaluate.text_scores import single_emotions
from models.train.voice_windows import as_recorded
from sidecar.fusion.calibration import Calibration, EncodedUnit, to_prediction
from sidecar.inference.manifest import ModelSpec
from sidecar.types import EMOTIONS, EncoderOutput, FloatArray, Modality, Permit, Prediction

CACHE: Final = Path(__file__).parents[2] / ".cache" / "fusion"
CAP: Final = 150
"""Most units of one emotion taken from one corpus."""
PLEASANT: Final = ("happiness",)
UNPLEASANT: Final = ("sadness", "anger", "disgust", "fear")
QUALITY: Final = 0.8
"""Of every unit: the corpora are clear pictures, clean sound and whole sentences."""

Chosen = tuple[NDArray[np.intp], NDArray[np.int64]]
"""Rows of a corpus, and their emotions as indices into EMOTIONS."""


@dataclass(frozen=True, slots=True)
class Units:
    """n units of one modality, as the shipped encoder reads them."""

    logits: FloatArray  # (n, labels)
    affect: FloatArray  # (n, 3) valence, arousal, dominance of the heads; NaN without
    emotions: NDArray[np.int64]  # (n,) index into EMOTIONS

    def of(self, kept: NDArray[np.bool_]) -> "Units":
        """Only some of them."""
        return Units(self.logits[kept], self.affect[kept], self.emotions[kept])


@dataclass(frozen=True, slots=True)
class Case:
    """Units of two or three modalities put together."""

    predictions: tuple[Prediction, ...]
    emotion: int
    """What they agree on; of conflicting ones, what the first says."""


class Shelf:
    """The units of one split, calibrated as the product calibrates them."""

    def __init__(self, units: Mapping[Modality, Units], calibrations: Mapping[Modality, Calibration]) -> None:
        self.units = units
        self._calibrations = calibrations

    def split(self, share: float) -> "tuple[Shelf, Shelf]":
        """Two shelves, the first with so large a share of the units; none stands on both."""
        random = np.random.default_rng(0)
        cuts = {modality: random.random(len(units.emotions)) < share for modality, units in self.units.items()}
        first = {modality: units.of(cuts[modality]) for modality, units in self.units.items()}
        second = {modality: units.of(~cuts[modality]) for modality, units in self.units.items()}
        return Shelf(first, self._calibrations), Shelf(second, self._calibrations)

    def prediction(self, modality: Modality, row: int) -> Prediction:
        """One unit as evidence, ended at 10 s of media time."""
        units = self.units[modality]
        affect = [float(value) if np.isfinite(value) else None for value in units.affect[row]]
        output = EncoderOutput(units.logits[row], np.zeros(1, np.float32), *affect)
        unit = EncodedUnit(modality, QUALITY, {}, 10.0, 10.0, Permit("someone", modality))
        return to_prediction(output, self._calibrations[modality], unit)

    def draw(self, modality: Modality, emotion: str, random: np.random.Generator) -> Prediction:
        """Any unit of an emotion. Raises LookupError where the split has none."""
        rows = np.flatnonzero(self.units[modality].emotions == EMOTIONS.index(emotion))
        if not len(rows):
            raise LookupError(f"no {modality} unit of {emotion}")
        return self.prediction(modality, int(random.choice(rows)))

    def has(self, modality: Modality, emotion: str) -> bool:
        """Whether `draw` would find one."""
        return bool((self.units[modality].emotions == EMOTIONS.index(emotion)).any())

    def agreeing(self, each: int, modalities: int, seed: int = 0) -> Iterator[Case]:
        """`each` cases for every emotion and every set of so many modalities that has it."""
        random = np.random.default_rng(seed)
        for members in combinations(Modality, modalities):
            for emotion in EMOTIONS:
                if all(self.has(modality, emotion) for modality in members):
                    for _ in range(each):
                        yield Case(
                            tuple(self.draw(modality, emotion, random) for modality in members),
                            EMOTIONS.index(emotion),
                        )

    def conflicting(self, each: int, seed: int = 0) -> Iterator[Case]:
        """`each` cases for every pair of modalities and every two opposed emotions, either way round."""
        random = np.random.default_rng(seed)
        for first, second in combinations(Modality, 2):
            for one, other in ((a, b) for a in PLEASANT + UNPLEASANT for b in PLEASANT + UNPLEASANT):
                if (one in PLEASANT) != (other in PLEASANT) and self.has(first, one) and self.has(second, other):
                    for _ in range(each):
                        yield Case(
                            (self.draw(first, one, random), self.draw(second, other, random)), EMOTIONS.index(one)
                        )


def open_shelf(split: str, pack: Path = PACK, cache: Path = CACHE) -> Shelf:
    """The units of `split`: valid or test. Runs the encoders once for each version of the weights.

    Raises LookupError or OSError where a corpus is absent.
    """
    specs = {modality: encoder(modality, pack) for modality in Modality}
    return Shelf(
        {modality: _cached(spec, split, pack, cache) for modality, spec in specs.items()},
        {modality: Calibration(spec) for modality, spec in specs.items()},
    )


def _cached(spec: ModelSpec, split: str, pack: Path, cache: Path) -> Units:
    path = cache / f"{spec.modality}-{split}-{spec.sha256[:12]}.npz"
    if not path.exists():
        units = {Modality.FACE: _faces, Modality.VOICE: _voices, Modality.TEXT: _texts}[spec.modality](
            spec, split, pack
        )
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, logits=units.logits, affect=units.affect, emotions=units.emotions)
    with np.load(path) as stored:
        return Units(stored["logits"], stored["affect"], stored["emotions"])


def _faces(spec: ModelSpec, split: str, pack: Path) -> Units:
    data = ferplus.load(split).labelled()
    rows, emotions = _capped(data.labels())
    model = open_model(spec, pack)
    logits = np.concatenate([model.run({"face": data.images[part, None]})["logits"] for part in _parts(rows)])
    return Units(logits, _headless(len(rows)), emotions)


def _voices(spec: ModelSpec, split: str, pack: Path) -> Units:
    clips = ravdess.load(split)
    if not clips:
        raise LookupError("RAVDESS is absent: set SIDECAR_DATA")
    model = open_model(spec, pack)
    logits = np.concatenate([model.run({"audio": as_recorded(clip)[None]})["logits"] for clip in clips])
    return Units(
        logits, _headless(len(clips)), np.array([EMOTIONS.index(ravdess.TO_BASE[clip.emotion]) for clip in clips])
    )


def _texts(spec: ModelSpec, split: str, pack: Path) -> Units:
    name = "dev" if split == "valid" else split
    comments, spoken = goemotions.load(name), meld.load(name)
    single, felt = single_emotions(comments)
    rows, emotions = _capped(felt)
    words = [comments.texts[i] for i in np.flatnonzero(single)[rows]]
    columns = np.array([EMOTIONS.index(meld.TO_BASE[label]) for label in meld.LABELS])
    said, heard = _capped(columns[spoken.labels])
    outputs = text.predictor(open_model(spec, pack), text.load_tokenizer(spec, pack))(
        [*words, *(spoken.texts[i] for i in said)]
    )
    return Units(outputs.logits, outputs.vad, np.concatenate((emotions, heard)))


def _capped(emotions: NDArray[np.int64]) -> Chosen:
    """At most `CAP` rows of each emotion, the same each time."""
    random = np.random.default_rng(0)
    parts = [random.permutation(np.flatnonzero(emotions == i))[:CAP] for i in range(len(EMOTIONS))]
    rows = np.sort(np.concatenate(parts))
    return rows, emotions[rows]


def _parts(rows: NDArray[np.intp], size: int = 64) -> list[NDArray[np.intp]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _headless(count: int) -> FloatArray:
    return np.full((count, 3), np.nan, np.float32)
