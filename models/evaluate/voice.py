"""Scores the voice model of the pack, as shipped: `python -m models.evaluate voice`.

RAVDESS actors 18-20 and EmoDB, neither trained on, in three ways: the middle 3 s of each clip as recorded; `live`, 3 s
cut anywhere out of continuous speech of one person in one emotion, silences before and after trimmed; `call`, the same
through rooms, noise, telephones and Opus by chance.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets import data_root, emodb, ravdess
from models.datasets.corpus import Corpus
from models.datasets.speech import SpeechClip
from models.evaluate import answers as parts
from models.evaluate import metrics, worn_speech
from models.evaluate.answers import Answers, calibrated
from models.evaluate.encoders import encoder, open_model
from models.evaluate.report import Report, curves, said_by_the_product
from models.evaluate.results import PACK, processor_ms
from models.train.voice_windows import as_recorded, in_a_call, in_speech
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.types import Modality

NAME: Final = "voice-whisper"
WAYS: Final = ("clip", "live", "call")
WORN: Final = 80
"""Clips of each corpus that the robustness curves are drawn from."""
NOTES: Final = (
    "RAVDESS: actors 18-20, 180 clips, 8 labels; EmoDB: 339 clips, 4 emotions, 10 speakers; neither is trained on.",
    "live_*: 3 s inside continuous speech; call_*: that through rooms, noise, telephones and Opus by chance.",
    "emodb_single_*: each clip scored by itself, as if the speaker had said nothing else. The graph keeps no "
    "statistics of the speaker, so it equals emodb_*.",
    "Intervals draw whole speakers; RAVDESS' test has three, so its interval is coarse and its gaps cannot be tested.",
    "Robustness: the same 80 clips of each corpus, the middle 3 s as recorded, one flaw at a time.",
)
UNSLICED: Final = (
    "No corpus here says anything of skin tone or origin. RAVDESS does not give ages by actor. nEMO and EmoSpeech name "
    "genders or not at all, but are trained on; in ASED the words give the label away."
)

Samples = NDArray[np.float32]
Wear = Callable[[Samples], Samples]


def entry(pack: Path = PACK, name: str | None = None) -> ModelSpec:
    """The manifest's entry. Raises LookupError where the pack has no such model, `PackError` for a bad manifest."""
    return encoder(Modality.VOICE, pack, name)


def evaluate(pack: Path = PACK, ways: Sequence[str] = WAYS) -> dict[str, float]:
    """All figures of the model in `pack`, running the file that its manifest names."""
    model = open_model(entry(pack), pack)
    return {name: value for way in ways for head in heads(model, way) for name, value in parts.figures(head).items()}


def report(model: OrtModel) -> Report:
    """Figures, slices, coverage and robustness on speakers that were not trained on."""
    found = {way: heads(model, way) for way in WAYS}
    figures = {name: value for some in found.values() for head in some for name, value in parts.figures(head).items()}
    valid = ravdess.load("valid")
    return Report(
        heads=found["clip"] + found["call"],
        figures=figures | {f"emodb_single_{name}": figures[f"emodb_{name}"] for name in ("accuracy", "uar")},
        robustness=_robustness(model),
        distribution=said_by_the_product(model, logits_of(model, valid, "live")),
        unsliced=UNSLICED,
        notes=NOTES,
    )


def timings(spec: ModelSpec, pack: Path = PACK) -> dict[str, float]:
    """Processor milliseconds of one window on one thread, as shipped and on ONNX Runtime's own provider."""
    names = ("auto", "plain")
    return {f"{name}_cpu_ms": milliseconds(open_model(spec, pack, plain=name == "plain")) for name in names}


def milliseconds(model: OrtModel, runs: int = 50) -> float:
    """Median processor time of one window."""
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 48_000)).astype(np.float32)
    return processor_ms(lambda: model.run({"audio": audio}), runs)


def heads(model: OrtModel, way: str) -> tuple[Answers, Answers]:
    """The answers on RAVDESS' test actors and on EmoDB's four emotions, cut in one way."""
    return ravdess_answers(model, way), emodb_answers(model, way)


def ravdess_scores(model: OrtModel, way: str = "clip") -> dict[str, float]:
    """Figures over the test actors, without prefixes. Raises LookupError where the corpus is absent."""
    return _bare(ravdess_answers(model, way))


def emodb_scores(model: OrtModel, way: str = "clip") -> dict[str, float]:
    """Figures over the four emotions, without prefixes. Raises LookupError where the corpus is absent."""
    return _bare(emodb_answers(model, way))


def ravdess_answers(model: OrtModel, way: str = "clip") -> Answers:
    """The corpus' eight labels."""
    clips = ravdess.load("test")
    logits = logits_of(model, clips, way)
    return _ravdess(model, clips, logits, way)


def emodb_answers(model: OrtModel, way: str = "clip") -> Answers:
    """Four emotions, calm summed into neutral and the others left out."""
    clips = [clip for clip in emodb.load() if clip.emotion in emodb.FOUR]
    return _emodb(model, clips, logits_of(model, clips, way), way)


def logits_of(model: OrtModel, clips: Sequence[SpeechClip], way: str, wear: Wear | None = None) -> Samples:
    """(clips, labels), each clip cut in the same way at every call. Raises LookupError where there are no clips."""
    if not clips:
        raise LookupError("the voice corpora are absent: set SIDECAR_DATA")
    rows = []
    for number, clip in enumerate(clips):
        random = np.random.default_rng(number)
        if way == "clip":
            samples = as_recorded(clip)
        else:
            samples = (in_speech if way == "live" else in_a_call)(clip, clips, random)
        rows.append(model.run({"audio": (wear(samples) if wear else samples)[None]})["logits"])
    return np.concatenate(rows)


def _ravdess(model: OrtModel, clips: Sequence[SpeechClip], logits: Samples, way: str) -> Answers:
    order = [model.spec.labels.index(label) for label in ravdess.LABELS]
    return _answers(ravdess.CORPUS, ravdess.LABELS, calibrated(logits, model.spec.calibration)[:, order], clips, way)


def _emodb(model: OrtModel, clips: Sequence[SpeechClip], logits: Samples, way: str) -> Answers:
    merge = np.array([[model.spec.map[label] == base for base in emodb.FOUR] for label in model.spec.labels])
    shares = calibrated(logits, model.spec.calibration) @ merge
    return _answers(emodb.CORPUS, emodb.FOUR, shares / shares.sum(1, keepdims=True), clips, way)


def _answers(
    corpus: Corpus, labels: tuple[str, ...], shares: NDArray[np.float64], clips: Sequence[SpeechClip], way: str
) -> Answers:
    return Answers(
        name=corpus.name if way == "clip" else f"{way}_{corpus.name}",
        labels=labels,
        shares=shares,
        truth=np.array([labels.index(clip.emotion) for clip in clips]),
        people=[clip.speaker for clip in clips],
        traits=_traits(corpus, clips),
    )


def _traits(corpus: Corpus, clips: Sequence[SpeechClip]) -> dict[str, list[str]]:
    """Gender, and age where the corpus gives it, of each clip's speaker."""
    known = {sample.name: sample.attributes for sample in corpus.read(data_root() / str(corpus.folder))}
    each = [known[clip.path.stem] for clip in clips]
    found = {"gender": [attributes["gender"] for attributes in each]}
    if all("age" in attributes for attributes in each):
        found["age"] = ["30 or less" if int(attributes["age"]) <= 30 else "above 30" for attributes in each]
    return found


def _bare(head: Answers) -> dict[str, float]:
    return {name.removeprefix(f"{head.name}_"): value for name, value in parts.figures(head).items()}


def _robustness(model: OrtModel) -> dict[str, Any]:
    random = np.random.default_rng(0)
    spoken = ravdess.load("test"), [clip for clip in emodb.load() if clip.emotion in emodb.FOUR]
    english, german = ([clips[i] for i in sorted(random.permutation(len(clips))[:WORN])] for clips in spoken)

    def figures(wear: Wear) -> dict[str, float]:
        found = (
            _ravdess(model, english, logits_of(model, english, "clip", wear), "clip"),
            _emodb(model, german, logits_of(model, german, "clip", wear), "clip"),
        )
        return {head.prefixed("uar"): metrics.uar(head.truth, head.said) for head in found}

    def worn(wear: Callable[..., Samples], degree: float) -> Wear:
        random = np.random.default_rng(0)
        return lambda samples: wear(samples, degree, random)

    return curves(worn_speech.FLAWS, figures, worn)
