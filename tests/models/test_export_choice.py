"""Which precision is shipped, and what becomes of one that loses too much: on a tiny random module."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from models.export import Examples, ParityError, Validation, publish_best
from models.export.__main__ import main
from models.export.comparison import Candidate, choose, require_parity
from models.export.kept import restore
from models.export.publishing import store
from sidecar.inference.pack import load_pack
from tests.models.test_export import ENTRY, TinyRandom, audio, expected

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter's own libraries


def candidate(precision: str, accuracy: float, ms: float, mb: float = 1.0) -> Candidate:
    return Candidate(precision, "CPUExecutionProvider", accuracy, ms, mb)


WIDE = ("narrow.weight",)
WHOLE = candidate("fp32", 0.80, 4.0, 4.0)


def test_the_fastest_within_a_point_of_fp32_is_chosen() -> None:
    static, dynamic = candidate("int8", 0.791, 2.0), candidate("int8-dynamic", 0.789, 1.0)
    assert choose([WHOLE, static, dynamic]) == static, "the dynamic one loses more than a point"
    assert choose([WHOLE, candidate("int8", 0.70, 1.0)]) == WHOLE


def test_of_two_about_as_fast_the_smaller_is_chosen() -> None:
    small = candidate("int8", 0.80, 2.05, 1.0)
    assert choose([WHOLE, candidate("fp16", 0.80, 2.0, 2.0), small]) == small


def test_a_report_past_its_limits_fails() -> None:
    require_parity("m", 9e-4, candidate("int8", 0.79, 1.0), [WHOLE])
    with pytest.raises(ParityError, match=r"m: int8 loses 1\.1 points"):
        require_parity("m", 0.0, candidate("int8", 0.789, 1.0), [WHOLE])
    for difference in (1.1e-3, float("nan")):
        with pytest.raises(ParityError, match="differs from torch"):
            require_parity("m", difference, WHOLE, [WHOLE])


@pytest.fixture(scope="module")
def validation() -> Validation:
    """Inputs that the module decides clearly, so that only a real loss of precision changes an answer."""
    values = audio(400)
    logits = np.sort(expected(values), axis=1)
    clear = np.argsort(logits[:, -2] - logits[:, -1])[:100]
    return Validation(Examples({"audio": values[clear]}), expected(values)[clear].argmax(1))


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_published_random_model_is_checked_spoilt_refused_and_made_again(
    validation: Validation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack, kept = tmp_path / "pack", tmp_path / "kept"
    sample = {"audio": torch.from_numpy(audio(2))}
    examples = Examples({"audio": audio(64)})
    where = {"pack": pack, "kept": kept}
    entry = publish_best(TinyRandom(), sample, ENTRY, calibration=examples, validation=validation, whole=WIDE, **where)
    assert restore("tiny-random", kept).whole == WIDE
    assert restore("tiny-random", kept).precisions == ("fp32", "fp16", "int8", "int8-dynamic")
    told = json.loads((pack / "results" / "export.json").read_text())["tiny-random"]
    assert told["model"]["sha256"] == entry.sha256
    assert {each["precision"] for each in told["compared"]} == {"fp32", "fp16", "int8", "int8-dynamic"}
    assert float(told["fp32_difference"]) < 1e-5
    assert told["shipped"]["accuracy"] == 1.0

    there = ("--pack", pack, "--kept", kept)
    assert run("tiny-random", *there, "--precision", "int8") == 0
    graph = onnx.load(pack / ENTRY.file)
    assert any(node.op_type == "QuantizeLinear" for node in graph.graph.node)
    assert run("tiny-random", *there, "--check") == 0

    spoil(graph, lambda weights: -weights)
    store(graph, entry, pack)
    assert run("tiny-random", *there, "--check") == 1
    assert "points of accuracy against FP32" in capsys.readouterr().err
    assert run("tiny-random", *there) == 0
    assert run("tiny-random", *there, "--check") == 0
    load_pack(pack, "commercial")


def spoil(graph: "onnx.ModelProto", change: Callable[[np.ndarray], np.ndarray]) -> None:
    for constant in graph.graph.initializer:
        if (values := numpy_helper.to_array(constant)).dtype == np.int8 and values.ndim == 2:
            constant.CopyFrom(numpy_helper.from_array(change(values), constant.name))
            return
    raise AssertionError("no quantised weights")


def test_what_cannot_be_made_again_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("absent", "--kept", tmp_path) == 1
    assert "absent is not in" in capsys.readouterr().err
    assert run("face-vit", "--kept", tmp_path) == 1
    assert "nothing is kept of an export of face-vit; `python -m models.train.face" in capsys.readouterr().err
