"""The way into the pack, on a tiny random module."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

from models.export import (
    UNKNOWN_SHA256,
    ParityError,
    Precision,
    convert,
    prefer,
    publish,
    record,
    to_onnx,
)
from models.export.publishing import store
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import Calibration, InputSpec, ModelSpec, OutputSpec
from sidecar.inference.pack import load_pack
from sidecar.types import Modality

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter's own libraries

ENTRY = ModelSpec(
    name="tiny-random",
    version="1",
    modality=Modality.VOICE,
    role="encoder",
    file="weights/tiny-random.onnx",
    sha256=UNKNOWN_SHA256,
    source="repository",
    recipe="none",
    licence="none",
    commercial=True,
    trained_on=("nothing",),
    input=(InputSpec(name="audio", shape=("batch", 64), type="float32", units="none"),),
    output=(
        OutputSpec(name="logits", shape=("batch", 3), units="before softmax"),
        OutputSpec(name="embedding", shape=("batch", 32), units="none"),
    ),
    preprocess="none",
    labels=("neutral", "anger", "fear"),
    map={"neutral": "neutral", "anger": "anger", "fear": "fear"},
    calibration=Calibration(temperature=1.5, bias=(0.0, 0.1, 0.2)),
)


class TinyRandom(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.narrow = torch.nn.Linear(64, 32)
        self.classify = torch.nn.Linear(32, 3)

    def forward(self, audio: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        embedding = torch.relu(self.narrow(audio))
        return self.classify(embedding), embedding


class Unfaithful(TinyRandom):
    """Computes something else in the graph than in torch."""

    def forward(self, audio: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        logits, embedding = super().forward(audio)
        return logits + (0.01 if torch.compiler.is_compiling() else 0.0), embedding


def audio(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(0, 1, (rows, 64)).astype(np.float32)


def expected(batch: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return TinyRandom()(torch.from_numpy(batch))[0].numpy()


@pytest.fixture(scope="module")
def graph() -> "onnx.ModelProto":
    """The tiny module, exported once; to be copied before it is changed."""
    return to_onnx(TinyRandom(), {"audio": torch.from_numpy(audio(2))}, ENTRY)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-3), ("int8", 0.1), ("int8-dynamic", 0.1)]
)
def test_every_precision_computes_the_module_at_any_batch(
    precision: Precision, tolerance: float, graph: "onnx.ModelProto", tmp_path: Path
) -> None:
    feeds = [{"audio": audio(8)} for _ in range(8)]
    spec = store(convert(graph, precision, feeds), ENTRY, tmp_path)
    model = OrtModel(spec, tmp_path / spec.file)
    for rows in (1, 5):
        difference = np.abs(model.run({"audio": audio(rows)})["logits"] - expected(audio(rows))).max()
        assert difference < tolerance
        assert precision == "fp32" or difference > 1e-7, "the weights are not full precision any more"


def test_the_manifest_keeps_its_other_tables_and_comments(graph: "onnx.ModelProto", tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    store(graph, msgspec.structs.replace(ENTRY, name="other"), tmp_path)
    before = "# Written by hand.\n" + path.read_text()
    path.write_text(before)
    first = store(graph, ENTRY, tmp_path)
    assert path.read_text().startswith(before)
    changed = record("tiny-random", tmp_path, metrics={"uar": 0.5})
    read = load_pack(tmp_path, "commercial").models
    assert read["tiny-random"] == changed == msgspec.structs.replace(first, metrics={"uar": 0.5})
    assert list(read) == ["other", "tiny-random"]
    prefer("tiny-random", tmp_path)
    assert list(load_pack(tmp_path, "commercial").models.items()) == [
        ("tiny-random", changed),
        ("other", read["other"]),
    ]
    with pytest.raises(LookupError, match=r"absent is not in .*; there are: tiny-random, other"):
        record("absent", tmp_path, metrics={})


def test_the_same_module_gives_the_same_file(tmp_path: Path) -> None:
    sample = {"audio": torch.from_numpy(audio(2))}
    digests = {publish(TinyRandom(), sample, ENTRY, pack=tmp_path).sha256 for _ in range(2)}
    assert digests == {load_pack(tmp_path, "commercial").models["tiny-random"].sha256}
    assert str(Path(__file__).parent).encode() not in (tmp_path / ENTRY.file).read_bytes(), "no paths of this machine"


def test_a_graph_unlike_its_module_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"tiny-random: outputs differ by 1\.0"):
        publish(Unfaithful(), {"audio": torch.from_numpy(audio(2))}, ENTRY, pack=tmp_path)
    assert not (tmp_path / "manifest.toml").exists()


def test_constants_can_be_kept_whole(graph: "onnx.ModelProto") -> None:
    stored = {constant.name: constant.data_type for constant in convert(graph, "fp16").graph.initializer}
    (halved,) = (name for name, kind in stored.items() if kind == onnx.TensorProto.FLOAT16)
    kept = convert(graph, "fp16", whole=[halved.removesuffix("_fp16")])
    assert all(constant.data_type == onnx.TensorProto.FLOAT for constant in kept.graph.initializer)
    for precision in ("int8", "int8-dynamic"):
        quantised = convert(graph, precision, [{"audio": audio(8)}], whole=[halved.removesuffix("_fp16")])
        kinds = {tuple(sorted(constant.dims)): constant.data_type for constant in quantised.graph.initializer}
        assert kinds[32, 64] == onnx.TensorProto.FLOAT
        assert kinds[3, 32] == onnx.TensorProto.INT8, "the other product is quantised"
    with pytest.raises(LookupError, match="absent"):
        convert(graph, "fp16", whole=["absent"])
