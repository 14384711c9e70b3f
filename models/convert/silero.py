"""silero-vad as ONNX: `python -m models.convert.silero`.

Takes the 16 kHz graph for runs of windows out of PyPI's silero-vad 6.2.3 wheel (MIT; the package itself wants torch)
and gives it the ports of the well-known streaming graph: `input` (windows, 576), `state` (2, 1, 128) to `output`
(windows, 1), `stateN` (2, 1, 128). So one call may take one window of 32 ms or a whole minute of one person, and
the cost of a call is shared: 31 windows in one call cost a third of 31 calls. The recipe compares the result with the
streaming graph of the same wheel, window by window, on seeded noise.

Silero Team, "Silero VAD" (2024), https://github.com/snakers4/silero-vad.
"""

import hashlib
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.fetch import wheel_file

MODELS = Path(__file__).resolve().parents[1]
WHEEL = ("silero-vad", "6.2.3")
SEQUENCE = (
    "silero_vad/data/silero_vad_16k_sequence.onnx",
    "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
)
STREAMING = ("silero_vad/data/silero_vad.onnx", "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3")
WINDOW, CONTEXT = 512, 64
TOLERANCE = 1e-5
"""Largest accepted difference of a speech probability from the streaming graph."""


def main() -> None:
    model = with_one_state(onnx.load(wheel_file(*WHEEL, *SEQUENCE)))
    difference = parity(model, wheel_file(*WHEEL, *STREAMING))
    if difference > TOLERANCE:
        sys.exit(f"silero-vad: differs from the streaming graph by {difference:.2e}, more than {TOLERANCE}")
    data = model.SerializeToString(deterministic=True)
    digest = hashlib.sha256(data).hexdigest()
    (MODELS / "weights" / "silero-vad.onnx").write_bytes(data)
    declared = {table["name"]: table for table in tomllib.loads((MODELS / "manifest.toml").read_text())["model"]}
    agrees = "as the manifest says" if declared["silero-vad"]["sha256"] == digest else "NOT as the manifest says"
    print(f"silero-vad: {len(data)} bytes, parity {difference:.2e}, sha256 {digest} {agrees}")


def with_one_state(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with `h` and `c` joined in `state`, `hn` and `cn` in `stateN`, and one probability a row."""
    graph = model.graph
    column = numpy_helper.from_array(np.array([-1, 1], np.int64), "column")
    split = helper.make_node("Split", ["state"], ["h", "c"], axis=0)
    tail = [
        helper.make_node("Reshape", ["speech_probs", "column"], ["output"]),
        helper.make_node("Concat", ["hn", "cn"], ["stateN"], axis=0),
    ]
    nodes = [split, *graph.node, *tail]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.append(column)
    graph.input.extend([_port("input", ["windows", CONTEXT + WINDOW]), _port("state", [2, 1, 128])])
    graph.output.extend([_port("output", ["windows", 1]), _port("stateN", [2, 1, 128])])
    onnx.checker.check_model(model, full_check=True)
    return model


def _port(name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def parity(model: onnx.ModelProto, streaming: Path) -> float:
    """Largest difference of a probability between one call of `model` and the streaming graph, one window at a time."""
    windows = parity_windows()
    state = np.zeros((2, 1, 128), np.float32)
    one_call = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = one_call.run(["output"], {"input": windows, "state": state})[0]
    session = onnxruntime.InferenceSession(str(streaming), providers=["CPUExecutionProvider"])
    worst = 0.0
    for window, probability in zip(windows, got, strict=True):
        feeds = {"input": window[None], "state": state, "sr": np.array(16_000)}
        expected, state = session.run(["output", "stateN"], feeds)
        worst = max(worst, float(np.abs(expected - probability).max()))
    return worst


def parity_windows(count: int = 60) -> NDArray[np.float32]:
    """(count, 576): syllables of a vowel, then noise, each window behind the last 64 samples of the one before."""
    time_s = np.arange(count * WINDOW) / 16_000
    pitch = 2 * np.pi * np.cumsum(130 + 20 * np.sin(2 * np.pi * 1.5 * time_s)) / 16_000
    formants = np.array([700.0, 1200.0, 2600.0])
    loudness = [np.exp(-(((130 * k - formants) / 150) ** 2)).sum() + 0.02 for k in range(1, 30)]
    voiced = sum(a * np.sin(k * pitch) for k, a in enumerate(loudness, start=1)) * np.sin(2 * np.pi * 2 * time_s) ** 2
    voiced[len(voiced) // 2 :] = 0
    noise = np.random.default_rng(20240229).normal(0, 0.005, len(time_s))
    samples = np.concatenate([np.zeros(CONTEXT), 0.1 * voiced + noise]).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(samples, CONTEXT + WINDOW)[::WINDOW].copy()


if __name__ == "__main__":
    main()
