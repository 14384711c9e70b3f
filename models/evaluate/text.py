"""Scores the text model of the pack, as shipped, on ONNX Runtime: `python -m models.evaluate text`."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from models.datasets import goemotions, sst2
from models.evaluate import metrics, worn_text
from models.evaluate.encoders import encoder, open_model
from models.evaluate.report import Report, curves, said_by_the_product
from models.evaluate.results import PACK, processor_ms
from models.evaluate.text_scores import (
    Predict,
    TextOutputs,
    goemotions_head,
    score,
    scores,
    single_emotions,
    sst2_head,
)
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import ModelSpec
from sidecar.types import Modality

NAME: Final = "text-minilm"
PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "openvino": "OpenVINOExecutionProvider"}
BATCH: Final = 32
WORN: Final = 400
"""Texts of each corpus that the robustness curves are drawn from."""
NOTES: Final = (
    "GoEmotions: macro-F1 of several emotions at once, above a threshold chosen on dev; the other figures over texts "
    "of one base emotion. Its paper's Ekman groups and neutral, seven classes.",
    "SST-2: whole sentences of the split of this repository; the published split leaks, figures do not compare.",
    "MELD: single utterances without the dialogue around them.",
    "The emotions by the temperature of the manifest; the sentiment by one inside its weights, both fitted on dev.",
    "Intervals draw whole speakers in MELD; the other corpora name nobody, so single texts are drawn.",
    "Robustness: the same 400 texts of GoEmotions and of SST-2, one flaw at a time.",
)
UNSLICED: Final = (
    "GoEmotions, EmoBank and SST-2 name no authors. MELD names characters: the gender of the six main ones is that of "
    "the role, spoken by one actor each. All texts are English; no age or origin is given."
)


def entry(pack: Path = PACK, name: str | None = None) -> ModelSpec:
    """The manifest's entry. Raises LookupError where the pack has no text model, `PackError` for a bad manifest."""
    return encoder(Modality.TEXT, pack, name)


def load_tokenizer(spec: ModelSpec, pack: Path = PACK) -> Tokenizer:
    """The tokenizer that goes with the model."""
    return Tokenizer.from_file(str(pack / next(file.file for file in spec.files if file.name == "tokenizer")))


def open_session(path: Path, provider: str = "cpu") -> onnxruntime.InferenceSession:
    """One thread, as the sidecar runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    settings = {"num_of_threads": "1"} if provider == "openvino" else {}
    return onnxruntime.InferenceSession(str(path), options, providers=[(PROVIDERS[provider], settings)])


def predictor(session: onnxruntime.InferenceSession | OrtModel, tokenizer: Tokenizer) -> Predict:
    """The shipped model as evaluation calls it, in batches of texts of like length."""

    def predict(texts: Sequence[str]) -> TextOutputs:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = []
        for start in range(0, len(order), BATCH):
            encoded = tokenizer.encode_batch([texts[i] for i in order[start : start + BATCH]])
            ids = np.array([e.ids for e in encoded], np.int64)
            mask = np.array([e.attention_mask for e in encoded], np.int64)
            parts.append(_run(session, {"input_ids": ids, "attention_mask": mask}))
        back = np.argsort(order)
        sentiment, vad, logits = (np.concatenate(column)[back] for column in zip(*parts, strict=True))
        return TextOutputs(sentiment, vad, logits)

    return predict


def milliseconds(session: onnxruntime.InferenceSession, tokens: int = 32, runs: int = 100) -> float:
    """Median processor time of one segment of `tokens` tokens."""
    ids = np.random.default_rng(0).integers(1000, 30000, (1, tokens))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return processor_ms(lambda: session.run(None, feed), runs)


def evaluate(pack: Path = PACK, split: str = "test") -> dict[str, float]:
    """All figures of the model in `pack` on `split`, running the files that its manifest names."""
    spec = entry(pack)
    predict = predictor(open_model(spec, pack), load_tokenizer(spec, pack))
    return score(predict, split, spec.calibration.temperature)


def report(model: OrtModel, pack: Path = PACK) -> Report:
    """Figures, slices, coverage and robustness on the test splits."""
    tokenizer = load_tokenizer(model.spec, pack)

    @cache
    def once(texts: tuple[str, ...]) -> TextOutputs:
        return predictor(model, tokenizer)(texts)

    def predict(texts: Sequence[str]) -> TextOutputs:
        return once(tuple(texts))

    found = scores(predict, "test", model.spec.calibration.temperature)
    return Report(
        heads=found.heads,
        figures=found.figures,
        bounded=found.bounded,
        robustness=_robustness(predict, model.spec.calibration.temperature),
        distribution=said_by_the_product(model, predict(goemotions.load("dev").texts).logits),
        unsliced=UNSLICED,
        notes=NOTES,
    )


def timings(spec: ModelSpec, pack: Path = PACK) -> dict[str, float]:
    """Processor milliseconds of one segment of 32 tokens on one thread, by provider."""
    here = onnxruntime.get_available_providers()
    return {
        f"{provider}_32_tokens_ms": milliseconds(open_session(pack / spec.file, provider))
        for provider, name in PROVIDERS.items()
        if name in here
    }


def _run(session: onnxruntime.InferenceSession | OrtModel, feed: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("sentiment", "vad", "logits")
    if isinstance(session, OrtModel):
        outputs = session.run(feed)
        return tuple(outputs[name] for name in names)
    return tuple(session.run(names, feed))


def _robustness(predict: Predict, temperature: float) -> dict[str, Any]:
    random = np.random.default_rng(0)
    corpus, films = goemotions.load("test"), sst2.load("dev")
    single, truth = single_emotions(corpus)
    chosen = np.sort(random.permutation(len(truth))[:WORN])
    places = np.flatnonzero(single)[chosen]
    comments, felt = [corpus.texts[i] for i in places], truth[chosen]
    reviewed = np.sort(random.permutation(len(films.texts))[:WORN])
    reviews, judged = [films.texts[i] for i in reviewed], films.labels[reviewed]

    def figures(wear: Callable[[Sequence[str]], Sequence[str]]) -> dict[str, float]:
        heads = (
            goemotions_head(predict(wear(comments)).emotions(temperature), felt),
            sst2_head(predict, wear(reviews), judged),
        )
        return {head.prefixed("accuracy"): metrics.accuracy(head.truth, head.said) for head in heads}

    return curves(worn_text.FLAWS, figures, lambda wear, degree: lambda texts: wear(texts, degree))
