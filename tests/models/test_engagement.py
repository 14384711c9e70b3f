"""The engagement head: learned from invented features, exported, run as the sidecar runs it; and a folder of calls."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.datasets import data_root
from models.datasets.corpus import CorpusError, Sample
from models.train import engagement
from models.train.engagement_features import Seconds, consent_of
from models.train.engagement_model import EngagementModel
from sidecar.errors import PackError
from sidecar.fusion.affect import expected_affect
from sidecar.fusion.engagement import Second, SpeakingBehaviour, score
from sidecar.fusion.engagement_head import FEATURES, LABELS, SECONDS, EngagementHead, History, RuleScorer
from sidecar.fusion.estimator import Estimator, EstimatorOptions
from sidecar.inference.own_networks import open_engagement_network
from sidecar.types import Modality, Permit
from tests.fusion.build import LOOKING, mixture, prediction

from .datasets.layouts import write

QUICK = engagement.Schedule(epochs=3, peak_rate=1e-2, batch=16)


def invented(identities: int, seed: int) -> Seconds:
    """Synthetic features of nobody: a label shows as an offset in a feature of its own, in the last five seconds."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(4), identities * 10)
    tables = random.normal(0, 0.3, (len(labels), SECONDS, len(FEATURES))).astype(np.float32)
    tables[:, :, FEATURES.index("estimated")] = 1
    for row, label in zip(tables, labels, strict=True):
        row[-5:, 2 + label] += 1.0
    people = tuple(f"p{seed}-{i // 40}" for i in range(len(labels)))
    return Seconds(tables, labels, np.zeros(len(labels), np.int64), people)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("head")
    parts = {"train": invented(8, 0), "valid": invented(2, 1), "test": invented(2, 2)}
    card = engagement.train(parts, folder / "head.onnx", QUICK, folder / "work")
    assert card.metrics["macro_f1"] > 0.9
    assert card.metrics["macro_f1_of_the_rules"] == pytest.approx(0.1, abs=0.01), "always engaged: one class in four"
    assert card.trained_on["train_identities"] == 8
    return folder / "head.onnx"


def test_the_model_is_small_and_looks_back_only_random_weights() -> None:
    model = EngagementModel().eval()
    assert sum(parameter.numel() for parameter in model.parameters()) < 10_000
    tables = torch.rand(2, SECONDS, len(FEATURES))
    assert model(tables).shape == (2, 4)
    tables[:, :, FEATURES.index("estimated")] = 0
    assert torch.isfinite(model(tables)).all(), "nothing estimated is no division by zero"


def opened(path: Path) -> EngagementHead:
    network = open_engagement_network(path)
    return EngagementHead(network.model, network.card)


def looking(media_time_s: float) -> Second:
    emotions = mixture(neutral=0.7)
    known = {name: value for name, value in LOOKING.items() if isinstance(value, float)}
    speaking = SpeakingBehaviour(True, 0.4, Permit("ann", Modality.VOICE))
    return Second(media_time_s, emotions, expected_affect(emotions), known, speaking)


def test_the_trained_graph_scores_as_it_did_in_torch(trained: Path) -> None:
    network = open_engagement_network(trained)
    table = invented(1, 5).tables
    (said,) = network.model.run({"seconds": table}).values()
    assert said.argmax(1).tolist() == [0, 1, 2, 3] * 10
    head = opened(trained)
    for second in range(3):
        scores = head.score(looking(float(second)))
        assert 0 <= scores.engagement <= 1
        assert scores.confusion + scores.frustration <= scores.engagement + 1e-6, "shares of one distribution"
    first = opened(trained).score(looking(9.0))
    assert head.score(looking(9.0)) != first, "the seconds before count"
    head.clear()
    assert head.score(looking(9.0)) == first, "after a revocation nothing is remembered"


def test_an_estimator_with_the_head_differs_from_one_with_the_rules(trained: Path) -> None:
    found = []
    for scorer in (None, RuleScorer(), opened(trained)):
        estimator = Estimator(EstimatorOptions(), scorer=scorer)
        estimator.add(prediction(Modality.FACE, mixture(happiness=0.6)))
        estimate = estimator.estimate(10.0, None)
        assert estimate is not None
        found.append(estimate.engagement)
    assert found[0] == found[1] != found[2]


def test_seconds_without_an_estimate_are_gaps() -> None:
    history = History()
    for media_time_s in (1.0, 30.0, 33.02):
        second = looking(media_time_s)
        table = history.remember(second, score(second))
    assert np.flatnonzero(table[:, FEATURES.index("estimated")]).tolist() == [SECONDS - 4, SECONDS - 1]


def altered(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def without_card(path: Path) -> None:
    path.with_suffix(".toml").unlink()


def other_labels(path: Path) -> None:
    card = path.with_suffix(".toml")
    card.write_text(card.read_text().replace('"confused"', '"puzzled"'))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [(altered, "is not the graph"), (without_card, "models.train.engagement"), (other_labels, "train it anew")],
)
def test_a_head_that_cannot_be_used_is_refused(
    trained: Path, tmp_path: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    for suffix in (".onnx", ".toml"):
        shutil.copy(trained.with_suffix(suffix), tmp_path)
    spoil(tmp_path / "head.onnx")
    with pytest.raises(PackError, match=complaint):
        opened(tmp_path / "head.onnx")


def test_nothing_is_analysed_without_consent() -> None:
    spans = [Sample("a", "ann", "engaged", Path("a.mp4"), (0, 5), attributes={"consent": "face"})]
    assert consent_of(Path("a.mp4"), spans, None) == "face"
    silent = [Sample("b", "ann", "engaged", Path("a.mp4"), (5, 9))]
    assert consent_of(Path("a.mp4"), silent, "face,voice") == "face,voice"
    for each in (silent, spans + silent):
        with pytest.raises(CorpusError, match="no inference without consent"):
            consent_of(Path("a.mp4"), each, None)


def test_a_label_that_nobody_has_cannot_be_learned(tmp_path: Path) -> None:
    whole = invented(2, 0)
    few = Seconds(whole.tables[whole.labels < 3], whole.labels[whole.labels < 3], whole.by_rule[:60], ("ann",) * 60)
    with pytest.raises(CorpusError, match="no second of frustrated"):
        engagement.train({"train": few, "valid": few, "test": few}, tmp_path / "head.onnx", QUICK, tmp_path)


def test_a_folder_of_calls_becomes_a_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = data_root() / "clips"
    if not clips.is_dir():
        pytest.skip("the clips are absent: set SIDECAR_DATA")
    monkeypatch.setattr(engagement, "CACHE", tmp_path / "cache")
    rows = []
    for number, clip in enumerate(sorted(clips.glob("*.mpg"))[:3]):
        shutil.copy(clip, tmp_path / f"{number}.mpg")
        rows += [
            f'{number}.mpg,person{number},{start},{start + 0.75},{label},"face"'
            for start, label in zip(np.arange(0, 3, 0.75), LABELS, strict=True)
        ]
    write(tmp_path / "spans.csv", "\n".join(["file,identity,start,end,label,consent", *rows]) + "\n")
    monkeypatch.setattr("models.train.engagement_features.ONSET_S", 0.0)
    arguments = ["--calls", str(tmp_path), "--out", str(tmp_path / "head.onnx"), "--epochs", "1"]
    assert engagement.main(arguments) == 2, "spans of less than a second hold no estimate of some labels"
    assert "among the training identities" in capsys.readouterr().err
    audits = sorted((tmp_path / "cache" / "audit").rglob("*.jsonl"))
    assert len(audits) == 3, "every analysis is proved"
    assert engagement.main([*arguments[:1], str(tmp_path / "nowhere"), *arguments[2:]]) == 2
