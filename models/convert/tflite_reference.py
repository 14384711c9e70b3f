"""Run a TFLite network on given inputs. A script for the converter's own environment, which has TensorFlow.

    python tflite_reference.py MODEL.tflite INPUTS.npy OUTPUTS.npz

INPUTS is (cases, 1, height, width, 3) float32; OUTPUTS holds one array (cases, ...) per output, by the network's names.
"""

import sys
from typing import Any

import numpy as np
import tensorflow as tf


def main(model: str, inputs_path: str, outputs_path: str) -> None:
    interpreter = tf.lite.Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    results: dict[str, list[np.ndarray]] = {}
    for case in np.load(inputs_path):
        interpreter.set_tensor(source["index"], case)
        interpreter.invoke()
        for output in interpreter.get_output_details():
            results.setdefault(output["name"], []).append(interpreter.get_tensor(output["index"]))
    stacked: dict[str, Any] = {name: np.stack(values) for name, values in results.items()}
    np.savez(outputs_path, **stacked)


if __name__ == "__main__":
    main(*sys.argv[1:])
