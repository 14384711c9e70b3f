"""Scores the voice model of the pack, as shipped: `python -m models.evaluate.voice`.

RAVDESS actors 18-20 and EmoDB, neither trained on, in three ways: the middle 3 s of each clip as recorded; `live`, 3 s
cut anywhere out of continuous speech of one person in one emotion, silences before and after trimmed; `call`, the same
through rooms, noise, telephones and Opus by chance. Writes `models/results/voice.json`: the figures, the processor
time of one window on one thread, and the machine.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.datasets import emodb, ravdess
from models.datasets.speech import SpeechClip
from models.evaluate.face import processor
from models.evaluate.face_scores import probabilities, score
from models.train.voice_windows import as_recorded, in_a_call, in_speech
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec, read_manifest

PACK: Final = Path(__file__).parents[1]
RESULTS: Final = PACK / "results" / "voice.json"
NAME: Final = "voice-whisper"
WAYS: Final = ("clip", "live", "call")
NOTES: Final = (
    "RAVDESS: actors 18-20, 180 clips, 8 labels; EmoDB: 339 clips, 4 emotions, 10 speakers; neither is trained on.",
    "live_*: 3 s inside continuous speech; call_*: that through rooms, noise, telephones and Opus by chance.",
    "cpu_ms: processor time of one window on one thread, least of 50; wall time depends on what else runs.",
)


def entry(pack: Path = PACK, name: str = NAME) -> ModelSpec:
    """The manifest's entry. Raises LookupError where the pack has no such model, `PackError` for a bad manifest."""
    for spec in read_manifest(pack):
        if spec.name == name:
            return spec
    raise LookupError(f"{name} is not in {pack}")


def open_model(spec: ModelSpec, pack: Path = PACK, *, plain: bool = False) -> OrtModel:
    """One thread, as the sidecar runs it; `plain` keeps to ONNX Runtime's own CPU provider."""
    return OrtModel(msgspec.structs.replace(spec, provider="cpu") if plain else spec, pack / spec.file)


def evaluate(pack: Path = PACK, ways: Sequence[str] = WAYS) -> dict[str, float]:
    """All figures of the model in `pack`, running the file that its manifest names."""
    spec = entry(pack)
    model = open_model(spec, pack)
    figures: dict[str, float] = {}
    for way in ways:
        prefix = "" if way == "clip" else f"{way}_"
        for corpus, scores in (("ravdess", ravdess_scores), ("emodb", emodb_scores)):
            figures |= {f"{prefix}{corpus}_{name}": value for name, value in scores(model, way).items()}
    return figures


def ravdess_scores(model: OrtModel, way: str = "clip") -> dict[str, float]:
    """Figures over the test actors and the eight labels of the corpus. Raises LookupError where it is absent."""
    clips = ravdess.load("test")
    labels = np.array([model.spec.labels.index(clip.emotion) for clip in clips])
    return score(logits_of(model, clips, way), labels, model.spec.calibration.temperature)


def emodb_scores(model: OrtModel, way: str = "clip") -> dict[str, float]:
    """Figures over the four emotions, calm summed into neutral and the others left out."""
    clips = [clip for clip in emodb.load() if clip.emotion in emodb.FOUR]
    merge = np.array(
        [[spec_base == base for base in emodb.FOUR] for spec_base in map(model.spec.map.get, model.spec.labels)]
    )
    shares = probabilities(logits_of(model, clips, way), model.spec.calibration.temperature) @ merge
    labels = np.array([emodb.FOUR.index(clip.emotion) for clip in clips])
    return score(np.log(shares).astype(np.float32), labels, 1.0)


def logits_of(model: OrtModel, clips: Sequence[SpeechClip], way: str) -> NDArray[np.float32]:
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
        rows.append(model.run({"audio": samples[None]})["logits"])
    return np.concatenate(rows)


def milliseconds(model: OrtModel, runs: int = 50) -> float:
    """Least processor time of one window: what it costs where nothing else disturbs it."""
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 48_000)).astype(np.float32)
    times = []
    for _ in range(runs):
        began = time.process_time()
        model.run({"audio": audio})
        times.append(time.process_time() - began)
    return min(times) * 1000


def main() -> None:
    """Evaluate, time, write and print."""
    spec, figures = entry(), evaluate()
    figures |= {f"{name}_cpu_ms": milliseconds(open_model(spec, plain=name == "plain")) for name in ("auto", "plain")}
    result = {
        "model": {"name": spec.name, "version": spec.version, "sha256": spec.sha256},
        "machine": {
            "processor": processor(),
            "threads": 1,
            "onnxruntime": onnxruntime.__version__,
            "auto": open_model(spec).provider,
        },
        "figures": {name: round(value, 4) for name, value in figures.items()},
        "notes": NOTES,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(RESULTS.read_text("utf-8"), end="")


if __name__ == "__main__":
    main()
