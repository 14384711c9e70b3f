"""From a trained torch module to a model of the pack: ONNX, parity, precision, weight file, manifest.

publish(module, sample, entry, precision="int8", calibration=batches)
record("voice-whisper", metrics=evaluate())
"""

from models.export.entries import PACK, UNKNOWN_SHA256, record, write_entry
from models.export.graph import TOLERANCE, ParityError, parity, to_onnx
from models.export.precision import Feed, Precision, convert, halve_weights, quantise, quantise_dynamically
from models.export.publishing import publish

__all__ = [
    "PACK",
    "TOLERANCE",
    "UNKNOWN_SHA256",
    "Feed",
    "ParityError",
    "Precision",
    "convert",
    "halve_weights",
    "parity",
    "publish",
    "quantise",
    "quantise_dynamically",
    "record",
    "to_onnx",
    "write_entry",
]
