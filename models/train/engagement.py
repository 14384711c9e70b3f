"""Trains an engagement head on calls of one's own: `python -m models.train.engagement --calls FOLDER --out FILE.onnx`.

FOLDER holds recordings and `spans.csv`, as `models/datasets/calls.py` shows. The production pipeline reads each
recording with the consent that its spans, or `--consent face,voice`, attest; the head learns from what is fused each
second, on 70 % of the identities, stops by 15 % and is judged on the last 15 %, beside the rules, by macro-F1. Analysis
takes about a tenth of the recordings' length, the training a minute. It leaves FILE.onnx and FILE.toml; to run them:

    SIDECAR_CONFIG=head.toml sidecar worker        # head.toml: [engines] engagement_model = "FILE.onnx"

Use the head only where it beats the rules on people it has not seen: with few of them it often does not.
"""

import argparse
import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import tomlkit
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.datasets.calls import CORPUS, LABELS
from models.datasets.corpus import CorpusError
from models.datasets.splits import split_by_subject
from models.evaluate.metrics import macro_f1
from models.export import TOLERANCE, ParityError, parity, to_onnx
from models.train.engagement_features import Seconds, analyse
from models.train.engagement_model import EngagementModel
from models.train.loop import Schedule, TrainingDiverged, fit
from sidecar.config import load_settings
from sidecar.errors import SidecarError
from sidecar.fusion.engagement_head import FEATURES, SECONDS
from sidecar.inference.own_networks import HeadCard, head_spec

CACHE: Final = Path(__file__).parents[2] / ".cache" / "engagement"
SCHEDULE: Final = Schedule(epochs=60, peak_rate=3e-3, batch=64, weight_decay=0.1, patience=12, average=0.98)
TEMPERATURES: Final = np.geomspace(0.25, 8, 61)


class EngagementTask:
    """Labels from the last seconds; every label counts alike, however many seconds it has."""

    def __init__(self, model: nn.Module, training: Seconds, validation: Seconds, schedule: Schedule) -> None:
        self.model = model
        self._training, self._validation = _tensors(training), _tensors(validation)
        self._batch = schedule.batch
        counts = np.bincount(training.labels, minlength=len(LABELS))
        self._weights = torch.from_numpy(np.where(counts, len(training.labels) / np.maximum(counts, 1), 0)).float()

    def groups(self) -> Sequence[Mapping[str, Any]]:
        """All parameters alike."""
        return [{"params": self.model.parameters()}]

    def __len__(self) -> int:
        return math.ceil(len(self._training[1]) / self._batch)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:  # noqa: ARG002 - the order is drawn anew
        """Seconds in random order."""
        tables, labels = self._training
        order = torch.randperm(len(labels))
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            yield tables[chosen], labels[chosen]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy, smoothed: two raters differ on such labels."""
        tables, labels = batch
        return F.cross_entropy(self.model(tables), labels, self._weights, label_smoothing=0.1)

    def validate(self) -> dict[str, float]:
        """Macro-F1 on the identities kept for it."""
        return {"valid_macro_f1": macro_f1(self._validation[1].numpy(), logits(self.model, self._validation).argmax(1))}


def _tensors(seconds: Seconds) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(seconds.tables), torch.from_numpy(seconds.labels)


@torch.no_grad()
def logits(model: nn.Module, data: tuple[Tensor, Tensor]) -> np.ndarray[Any, Any]:
    """(n, 4) of the model, not training."""
    model.eval()
    said: np.ndarray[Any, Any] = model(data[0]).numpy()
    return said


def temperature(said: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """By which logits are divided so that they are as sure as they are right (Guo et al., ICML 2017)."""
    losses = [F.cross_entropy(torch.from_numpy(said / t), torch.from_numpy(labels)).item() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def train(parts: Mapping[str, Seconds], out: Path, schedule: Schedule = SCHEDULE, work: Path = CACHE) -> HeadCard:
    """Fit on `train`, stop and calibrate by `valid`, judge on `test`; writes the graph `out` and the .toml beside it.

    Raises `CorpusError` for a label that no second of `train` has, `ParityError`.
    """
    for name, part in parts.items():
        if not len(part.labels):
            raise CorpusError(f"calls: no second of the {name} identities was estimated; label more people")
    absent = [label for i, label in enumerate(LABELS) if i not in parts["train"].labels]
    if absent:
        raise CorpusError(f"calls: no second of {', '.join(absent)} among the training identities; label more of them")
    torch.manual_seed(schedule.seed)
    model = EngagementModel()
    fit(EngagementTask(model, parts["train"], parts["valid"], schedule), schedule, work)
    scale = temperature(logits(model, _tensors(parts["valid"])), parts["valid"].labels)
    test = parts["test"]
    head = macro_f1(test.labels, logits(model, _tensors(test)).argmax(1))
    graph = export(model, out)
    card = HeadCard(
        sha256=hashlib.sha256(graph).hexdigest(),
        seconds=SECONDS,
        features=FEATURES,
        labels=LABELS,
        temperature=round(scale, 4),
        trained_on={f"{name}_identities": len(set(part.identities)) for name, part in parts.items()}
        | {f"{name}_seconds": len(part.labels) for name, part in parts.items()},
        metrics={"macro_f1": round(head, 4), "macro_f1_of_the_rules": round(macro_f1(test.labels, test.by_rule), 4)},
    )
    out.with_suffix(".toml").write_text(tomlkit.dumps(msgspec.to_builtins(card)), "utf-8")
    return card


def export(model: nn.Module, out: Path) -> bytes:
    """The graph as the sidecar runs it. Raises `ParityError`."""
    sample = {"seconds": torch.rand(2, SECONDS, len(FEATURES))}
    graph = to_onnx(model, sample, head_spec(out, SECONDS, len(FEATURES), len(LABELS)))
    if (difference := parity(graph, model, sample)) > TOLERANCE:
        raise ParityError(f"{out}: outputs differ by {difference:.2e}, more than {TOLERANCE}")
    data = graph.SerializeToString(deterministic=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(data)
    return data


def main(arguments: Sequence[str] | None = None) -> int:
    """Analyse, train, judge, write. 2 where the corpus or the pack cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=Path, required=True, help="folder of recordings and spans.csv")
    parser.add_argument("--out", type=Path, required=True, help="the graph, FILE.onnx; FILE.toml is written beside it")
    parser.add_argument("--consent", help="attests, for spans that say nothing: some of face,voice")
    parser.add_argument("--epochs", type=int, default=SCHEDULE.epochs)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        spans = CORPUS.read(options.calls)
        parts = split_by_subject(spans)
        seconds = analyse(load_settings(), spans, options.consent, CACHE / "audit")
        shares = {name: seconds.of(part) for name, part in parts.items()}
        schedule = msgspec.structs.replace(SCHEDULE, epochs=options.epochs)
        card = train(shares, options.out.with_suffix(".onnx"), schedule)
    except (CorpusError, ParityError, SidecarError, TrainingDiverged) as error:
        print(error, file=sys.stderr)
        return 2
    head, rules = card.metrics["macro_f1"], card.metrics["macro_f1_of_the_rules"]
    print(f"held-out identities: macro-F1 {head:.3f}, the rules {rules:.3f}; {options.out.with_suffix('.onnx')}")
    if head <= rules:
        print("the head is no better than the rules here: leave engagement_model unset, or label more people")
    return 0


if __name__ == "__main__":
    sys.exit(main())
