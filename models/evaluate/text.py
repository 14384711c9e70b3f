"""Scores the text model of the pack, as shipped, on ONNX Runtime: `python -m models.evaluate.text`.

Writes `models/results/text.json`: the test figures, the processor milliseconds of one segment of 32 tokens on one
thread, and the machine they were measured on.
"""

import json
import platform
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from models.evaluate.text_scores import Predict, TextOutputs, score

PACK: Final = Path(__file__).parents[1]
RESULTS: Final = PACK / "results" / "text.json"
PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "openvino": "OpenVINOExecutionProvider"}
BATCH: Final = 32


def entry(pack: Path = PACK, name: str = "text-minilm") -> Mapping[str, Any]:
    """The `[[model]]` table of the text model. Raises LookupError where the manifest has none."""
    tables = tomllib.loads((pack / "manifest.toml").read_text("utf-8"))["model"]
    for table in tables:
        if table["name"] == name:
            return dict(table)
    raise LookupError(f"{name} is not in {pack / 'manifest.toml'}")


def open_session(path: Path, provider: str = "cpu") -> onnxruntime.InferenceSession:
    """One thread, as the sidecar runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    settings = {"num_of_threads": "1"} if provider == "openvino" else {}
    return onnxruntime.InferenceSession(str(path), options, providers=[(PROVIDERS[provider], settings)])


def predictor(session: onnxruntime.InferenceSession, tokenizer: Tokenizer) -> Predict:
    """The shipped model as evaluation calls it, in batches of texts of like length."""

    def predict(texts: Sequence[str]) -> TextOutputs:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = []
        for start in range(0, len(order), BATCH):
            encoded = tokenizer.encode_batch([texts[i] for i in order[start : start + BATCH]])
            ids = np.array([e.ids for e in encoded], np.int64)
            mask = np.array([e.attention_mask for e in encoded], np.int64)
            parts.append(session.run(["sentiment", "vad", "logits"], {"input_ids": ids, "attention_mask": mask}))
        back = np.argsort(order)
        sentiment, vad, logits = (np.concatenate(column)[back] for column in zip(*parts, strict=True))
        return TextOutputs(sentiment, vad, logits)

    return predict


def milliseconds(session: onnxruntime.InferenceSession, tokens: int = 32, runs: int = 100) -> float:
    """Median processor time of one segment of `tokens` tokens: unlike wall time, other load hardly changes it."""
    ids = np.random.default_rng(0).integers(1000, 30000, (1, tokens))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    times = []
    for _ in range(runs):
        began = time.process_time()
        session.run(None, feed)
        times.append(time.process_time() - began)
    return float(np.median(times) * 1000)


def evaluate(pack: Path = PACK, split: str = "test") -> dict[str, float]:
    """All figures of the model in `pack` on `split`, running the files that its manifest names."""
    table = entry(pack)
    tokenizer = Tokenizer.from_file(str(pack / table["files"][0]["file"]))
    predict = predictor(open_session(pack / table["file"]), tokenizer)
    return score(predict, split, table["calibration"]["temperature"])


def main() -> None:
    """Evaluate, time, write and print."""
    table = entry()
    figures = evaluate()
    for provider in PROVIDERS:
        figures[f"{provider}_32_tokens_ms"] = milliseconds(open_session(PACK / table["file"], provider))
    result = {
        "model": {"name": table["name"], "version": table["version"], "sha256": table["sha256"]},
        "machine": {"processor": _processor(), "threads": 1, "onnxruntime": onnxruntime.__version__},
        "figures": {name: round(value, 4) for name, value in figures.items()},
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(RESULTS.read_text("utf-8"), end="")


def _processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
