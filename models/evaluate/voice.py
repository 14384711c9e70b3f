"""Scores the voice model of the pack, as shipped: `python -m models.evaluate voice`.

RAVDESS actors 18-20 and EmoDB, neither trained on, in three ways: the middle 3 s of each clip as recorded; `live`, 3 s
cut anywhere out of continuous speech of one person in one emotion, silences before and after trimmed; `call`, the same
through rooms, noise, telephones and Opus by chance.
"""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
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
from sidecar.fusion.calibration import Calibration
from sidecar.fusion.speaker_baseline import SpeakerBaseline, SpeakerOptions
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.types import Modality

NAME: Final = "voice-whisper"
WAYS: Final = ("clip", "live", "call")
WORN: Final = 60
"""Clips of each corpus that the robustness curves are drawn from."""
OVERLAP: Final = 3
"""Windows of a call that share a sample; a clip stands for so many."""
NOTES: Final = (
    "RAVDESS: actors 18-20, 180 clips, 8 labels; EmoDB: 339 clips, 4 emotions, 10 speakers; neither is trained on.",
    "live_*: 3 s inside continuous speech; call_*: that through rooms, noise, telephones and Opus by chance.",
    "*_speaker_*: the product's running statistics of the speaker (fusion/speaker_baseline.py) over all of a speaker's "
    "clips in a drawn order, from the first on; *_single_*: over recordings of one emotion of one speaker each, where "
    "there is nothing to tell the two apart by. The others are of each clip by itself, as the graph gives it.",
    "Intervals draw whole speakers; RAVDESS' test has three, so their clips are drawn too, and gaps cannot be tested.",
    "Robustness: the same 60 clips of each corpus, the middle 3 s as recorded, one flaw at a time.",
)
UNSLICED: Final = (
    "No corpus here says anything of skin tone or origin. RAVDESS does not give ages by actor. nEMO and EmoSpeech name "
    "genders or not at all, but are trained on; in ASED the words give the label away."
)

Samples = NDArray[np.float32]
Wear = Callable[[Samples], Samples]
Spoken = tuple[Sequence[SpeechClip], Sequence[SpeechClip]]
"""RAVDESS' test actors and EmoDB's four emotions."""


def entry(pack: Path = PACK, name: str | None = None) -> ModelSpec:
    """The manifest's entry. Raises LookupError where the pack has no such model, `PackError` for a bad manifest."""
    return encoder(Modality.VOICE, pack, name)


def evaluate(pack: Path = PACK, ways: Sequence[str] = WAYS) -> dict[str, float]:
    """All figures of the model in `pack`, running the file that its manifest names."""
    model = open_model(entry(pack), pack)
    return {name: value for way in ways for head in heads(model, way) for name, value in parts.figures(head).items()}


def report(model: OrtModel) -> Report:
    """Figures, slices, coverage and robustness on speakers that were not trained on."""
    spoken = ravdess.load("test"), _german()
    logits = logits_of(model, spoken[0], "clip"), logits_of(model, spoken[1], "clip")
    own = [*_both(model, spoken, logits), *adapted_heads(model, spoken, logits)]
    called, live = heads(model, "call"), heads(model, "live")
    return Report(
        heads=(*own, *called),
        figures={name: value for head in (*own, *live, *called) for name, value in parts.figures(head).items()},
        robustness=_robustness(model),
        distribution=said_by_the_product(model, logits_of(model, ravdess.load("valid"), "live")),
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


def adapted_heads(model: OrtModel, spoken: Spoken, logits: tuple[Samples, Samples]) -> list[Answers]:
    """Both corpora with the product's statistics of the speaker: over all clips, and over one emotion at a time."""
    found: list[Answers] = []
    for kind in ("speaker", "single"):
        english, german = (adapted(model, clips, rows, kind) for clips, rows in zip(spoken, logits, strict=True))
        found += _both(model, spoken, (english, german), f"_{kind}")
    return found


def adapted(model: OrtModel, clips: Sequence[SpeechClip], logits: Samples, kind: str) -> Samples:
    """(clips, labels) as the voice stage passes them on, when each speaker's clips, or recording, come one by one."""
    known = [clip.speaker if kind == "speaker" else (clip.speaker, clip.emotion) for clip in clips]
    return in_turn(model.spec, logits, known)


def in_turn(spec: ModelSpec, logits: Samples, known: Sequence[Hashable]) -> Samples:
    """(clips, labels) with the product's running statistics of each of `known`, clip after clip in a drawn order."""
    head = Calibration(spec)
    usual = SpeakerOptions()
    options = msgspec.structs.replace(usual, prior_windows=usual.prior_windows / OVERLAP)
    random = np.random.default_rng(0)
    changed = np.empty_like(logits)
    for rows in metrics.rows_of_groups(known):
        baseline = SpeakerBaseline(head, options)
        for row in random.permutation(rows):
            changed[row] = baseline.adjust(logits[row])
    return changed


def ravdess_scores(model: OrtModel, way: str = "clip") -> dict[str, float]:
    """Figures over the test actors, without prefixes. Raises LookupError where the corpus is absent."""
    return _bare(ravdess_answers(model, way))


def emodb_scores(model: OrtModel, way: str = "clip") -> dict[str, float]:
    """Figures over the four emotions, without prefixes. Raises LookupError where the corpus is absent."""
    return _bare(emodb_answers(model, way))


def ravdess_answers(model: OrtModel, way: str = "clip") -> Answers:
    """The corpus' eight labels."""
    clips = ravdess.load("test")
    return _ravdess(model, clips, logits_of(model, clips, way), _name("ravdess", way))


def emodb_answers(model: OrtModel, way: str = "clip") -> Answers:
    """Four emotions, calm summed into neutral and the others left out."""
    clips = _german()
    return _emodb(model, clips, logits_of(model, clips, way), _name("emodb", way))


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


def _german() -> list[SpeechClip]:
    return [clip for clip in emodb.load() if clip.emotion in emodb.FOUR]


def _name(corpus: str, way: str) -> str:
    return corpus if way == "clip" else f"{way}_{corpus}"


def _both(
    model: OrtModel, spoken: Spoken, logits: tuple[Samples, Samples], ending: str = ""
) -> tuple[Answers, Answers]:
    return (
        _ravdess(model, spoken[0], logits[0], f"ravdess{ending}"),
        _emodb(model, spoken[1], logits[1], f"emodb{ending}"),
    )


def _ravdess(model: OrtModel, clips: Sequence[SpeechClip], logits: Samples, name: str) -> Answers:
    order = [model.spec.labels.index(label) for label in ravdess.LABELS]
    return _answers(name, ravdess.CORPUS, ravdess.LABELS, calibrated(logits, model.spec.calibration)[:, order], clips)


def _emodb(model: OrtModel, clips: Sequence[SpeechClip], logits: Samples, name: str) -> Answers:
    merge = np.array([[model.spec.map[label] == base for base in emodb.FOUR] for label in model.spec.labels])
    shares = calibrated(logits, model.spec.calibration) @ merge
    return _answers(name, emodb.CORPUS, emodb.FOUR, shares / shares.sum(1, keepdims=True), clips)


def _answers(
    name: str, corpus: Corpus, labels: tuple[str, ...], shares: NDArray[np.float64], clips: Sequence[SpeechClip]
) -> Answers:
    return Answers(
        name=name,
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
    spoken = ravdess.load("test"), _german()
    english, german = ([clips[i] for i in sorted(random.permutation(len(clips))[:WORN])] for clips in spoken)

    def figures(wear: Wear) -> dict[str, float]:
        logits = logits_of(model, english, "clip", wear), logits_of(model, german, "clip", wear)
        return {
            head.prefixed("uar"): metrics.uar(head.truth, head.said) for head in _both(model, (english, german), logits)
        }

    def worn(wear: Callable[..., Samples], degree: float) -> Wear:
        random = np.random.default_rng(0)
        return lambda samples: wear(samples, degree, random)

    return curves(worn_speech.FLAWS, figures, worn)
