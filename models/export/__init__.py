"""From a trained torch module to a model of the pack: ONNX, parity, precision, weight file, manifest.

publish(module, sample, entry, precision="int8", calibration=batches)
publish_best(module, sample, entry, calibration=Examples(...), validation=Validation(...))
record("voice-whisper", metrics=evaluate())
"""

from models.export.entries import PACK, UNKNOWN_SHA256, prefer, read_entry, record, write_entry
from models.export.examples import Examples, Validation
from models.export.graph import TOLERANCE, ParityError, parity, to_onnx
from models.export.precision import (
    PORTABLE,
    PRECISIONS,
    Feed,
    Precision,
    convert,
    halve_weights,
    quantise,
    quantise_dynamically,
)
from models.export.publishing import publish, publish_best

__all__ = [
    "PACK",
    "PORTABLE",
    "PRECISIONS",
    "TOLERANCE",
    "UNKNOWN_SHA256",
    "Examples",
    "Feed",
    "ParityError",
    "Precision",
    "Validation",
    "convert",
    "halve_weights",
    "parity",
    "prefer",
    "publish",
    "publish_best",
    "quantise",
    "quantise_dynamically",
    "read_entry",
    "record",
    "to_onnx",
    "write_entry",
]
