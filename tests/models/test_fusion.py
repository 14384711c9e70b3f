"""Fusion's evaluation and its learned forms, on invented units whose truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.evaluate.fusion import figures
from models.evaluate.fusion_cases import Shelf, Units
from models.train.fusion import FusionTask, tables
from models.train.fusion_model import FusionMlp
from models.train.loop import Schedule, fit
from sidecar.fusion.calibration import Calibration
from sidecar.fusion.estimator import EstimatorOptions
from sidecar.fusion.late import FusionOptions, ProductOfExperts
from sidecar.fusion.learned import LearnedFusion
from sidecar.inference.manifest import Calibration as Scaling
from sidecar.types import EMOTIONS, Modality

SPEC = SimpleNamespace(
    name="sure", version="1", labels=EMOTIONS, map={name: name for name in EMOTIONS}, calibration=Scaling()
)


def shelf(certainty: float, seed: int = 0) -> Shelf:
    """Encoders that lean to the right emotion by so many nats, with noise."""
    draw = np.random.default_rng(seed)
    emotions = np.repeat(np.arange(7), 20)
    units = {}
    for modality in Modality:
        logits = draw.normal(0, 1, (len(emotions), 8)) + certainty * np.eye(8)[emotions]
        units[modality] = Units(logits.astype(np.float32), np.full((len(emotions), 3), np.nan, np.float32), emotions)
    return Shelf(units, dict.fromkeys(Modality, Calibration(SPEC)))


def test_contradiction_silences_and_agreement_helps():
    found = figures(shelf(4.0), EstimatorOptions(), each=4)
    assert found["conflicting_abstained"] > 0.5
    assert found["conflicting_over_agreeing"] >= 2
    found = figures(shelf(1.5), EstimatorOptions(), each=4)
    assert found["three_agreeing_accuracy"] >= found["agreeing_accuracy"] > found["alone_face_accuracy"]


def test_encoders_that_know_nothing_contradict_nobody():
    found = figures(shelf(0.0), EstimatorOptions(), each=4)
    assert found["conflicting_contradictory"] < 0.2
    assert found["agreeing_accuracy"] < 0.4


def test_conflicting_units_are_of_opposed_feelings_both_ways():
    emotions = {(EMOTIONS[int(a.probabilities.argmax())], EMOTIONS[int(b.probabilities.argmax())])
                for a, b in (case.predictions for case in shelf(12.0).conflicting(1))}  # fmt: skip
    others = {"sadness", "anger", "disgust", "fear"}
    assert emotions == {("happiness", each) for each in others} | {(each, "happiness") for each in others}


def test_no_unit_stands_on_both_halves():
    whole = shelf(1.0)
    one, other = whole.split(2 / 3)
    for modality in Modality:
        rows = [{row.tobytes() for row in half.units[modality].logits} for half in (one, other)]
        assert not rows[0] & rows[1]
        assert sum(map(len, rows)) == len(whole.units[modality].emotions)
        assert len(rows[0]) > len(rows[1])


class InTorch:
    """A network before it is exported; `tests/fusion/test_learned.py` exports them."""

    def __init__(self, model):
        self.model = model

    def run(self, inputs):
        with torch.no_grad():
            return {"logits": self.model(torch.from_numpy(inputs["evidence"])).numpy()}


def test_an_mlp_learns_to_fuse_and_takes_the_product_s_place(tmp_path):
    torch.manual_seed(0)
    training, fresh = shelf(2.5), shelf(2.5, seed=1)
    schedule = Schedule(epochs=6, peak_rate=5e-3, batch=32)
    task = FusionTask(FusionMlp(32), {"train": tables(training, 12, 0), "valid": tables(fresh, 4, 1)}, schedule, 0.25)
    history = fit(task, schedule, tmp_path)
    assert history[-1]["valid_accuracy"] > 0.6 > 2 / 7
    learned = LearnedFusion(InTorch(task.model), ProductOfExperts(FusionOptions()))
    found = figures(fresh, EstimatorOptions(), learned, each=4)
    assert found["three_agreeing_accuracy"] > 0.7
    assert found["conflicting_abstained"] > found["agreeing_abstained"]


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_dropout_hides_modalities_but_never_all(drop):
    evidence, emotions = tables(shelf(2.0), 3, 0)
    schedule = Schedule(epochs=1, peak_rate=1e-3, batch=16)
    task = FusionTask(FusionMlp(8), {"train": (evidence, emotions), "valid": (evidence, emotions)}, schedule, drop)
    present = torch.cat([(batch[0][:, :, -1] > 0).sum(1) for batch in task.batches(0)])
    assert (present > 0).all()
    whole = (evidence[:, :, -1] > 0).sum(1).float().mean()
    assert (present.float().mean() < whole - 0.1) == (drop > 0)
