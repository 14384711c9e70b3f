"""The model repository for Triton, read back by protobuf under the fields of Triton's own schema."""

import hashlib
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from models.export.__main__ import main
from models.export.precision import convert
from tests.inference.graphs import FACE, LABELS, TEXT, VOICE, random_model, write_manifest

TYPES = {"STRING": Field.TYPE_STRING, "INT32": Field.TYPE_INT32, "INT64": Field.TYPE_INT64, "UINT64": Field.TYPE_UINT64}
SCHEMA: dict[str, dict[str, tuple[int, str, bool]]] = {
    # triton-inference-server/common, protobuf/model_config.proto: field number, type, repeated.
    "ModelConfig": {
        "name": (1, "STRING", False),
        "platform": (2, "STRING", False),
        "max_batch_size": (4, "INT32", False),
        "input": (5, "ModelInput", True),
        "output": (6, "ModelOutput", True),
        "instance_group": (7, "ModelInstanceGroup", True),
        "dynamic_batching": (11, "ModelDynamicBatching", False),
    },
    "ModelInput": {"name": (1, "STRING", False), "data_type": (2, "DataType", False), "dims": (4, "INT64", True)},
    "ModelOutput": {
        "name": (1, "STRING", False),
        "data_type": (2, "DataType", False),
        "dims": (3, "INT64", True),
        "label_filename": (4, "STRING", False),
    },
    "ModelInstanceGroup": {"count": (2, "INT32", False), "kind": (4, "Kind", False)},
    "ModelDynamicBatching": {
        "preferred_batch_size": (1, "INT32", True),
        "max_queue_delay_microseconds": (2, "UINT64", False),
    },
}
ENUMS = {
    "DataType": {"TYPE_INVALID": 0, "TYPE_BOOL": 1, "TYPE_UINT8": 2, "TYPE_INT32": 8, "TYPE_INT64": 9}
    | {"TYPE_FP16": 10, "TYPE_FP32": 11},
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3},
}


@pytest.fixture(scope="module")
def model_config() -> type[Any]:
    """The message class, built from the schema above."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind in TYPES:
                added.type = TYPES[kind]
            else:
                added.type = Field.TYPE_ENUM if kind in ENUMS else Field.TYPE_MESSAGE
                added.type_name = f".inference.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def test_the_server_can_read_what_is_generated_from_a_manifest(tmp_path: Path, model_config: type[Any]) -> None:
    pack, out = tmp_path / "pack", tmp_path / "repository"
    widths = {"logits": len(LABELS), "embedding": 4}
    ports = [{"name": name, "shape": ["windows", width], "units": "any"} for name, width in widths.items()]
    write_manifest(
        pack,
        random_model(pack, "random-face", FACE),
        random_model(pack, "random-text", TEXT),
        random_model(pack, "random-vad", VOICE, role="vad", provider="cpu", output=ports),
    )
    assert main(["triton", "--pack", str(pack), "--out", str(out), "--max-batch", "16", "--max-delay-ms", "2.5"]) == 0
    read = {
        path.parent.name: text_format.Parse(path.read_text(), model_config()) for path in out.glob("*/config.pbtxt")
    }
    face, text, speech = read["random-face"], read["random-text"], read["random-vad"]

    assert (face.name, face.platform, face.max_batch_size) == ("random-face", "onnxruntime_onnx", 16)
    assert [(port.name, port.data_type, list(port.dims)) for port in face.input] == [("face", 2, [1, 48, 48])]
    assert {port.name: list(port.dims) for port in face.output} == {"logits": [3], "embedding": [4]}
    assert all(port.data_type == ENUMS["DataType"]["TYPE_FP32"] for port in face.output)
    assert list(face.dynamic_batching.preferred_batch_size) == [4, 8, 16]
    assert face.dynamic_batching.max_queue_delay_microseconds == 2500
    assert face.instance_group[0].kind == ENUMS["Kind"]["KIND_GPU"]
    assert list(text.input[0].dims) == [-1], "the number of tokens is free"

    assert speech.max_batch_size == 0, "its first dimension is one person's time"
    assert not speech.HasField("dynamic_batching")
    assert list(speech.output[0].dims) == [-1, 3]
    assert speech.instance_group[0].kind == ENUMS["Kind"]["KIND_CPU"], "the manifest asks for the plain provider"

    folder = out / "random-face"
    assert (folder / "1" / "model.onnx").read_bytes() == (pack / "weights" / "random-face.onnx").read_bytes()
    (labelled,) = (port.label_filename for port in face.output if port.label_filename)
    assert (folder / labelled).read_text().split() == LABELS


def test_a_dynamically_quantised_graph_is_served_alone(tmp_path: Path, model_config: type[Any]) -> None:
    table = random_model(tmp_path, "random-face", FACE)
    path = tmp_path / table["file"]
    onnx.save(convert(onnx.load(path), "int8-dynamic"), path)
    write_manifest(tmp_path, {**table, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    assert main(["triton", "--pack", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    told = text_format.Parse((tmp_path / "out" / "random-face" / "config.pbtxt").read_text(), model_config())
    assert told.max_batch_size == 1, "neighbours in a batch would alter its figures"
    assert not told.HasField("dynamic_batching")
