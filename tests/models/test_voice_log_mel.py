"""The log-mel spectrogram of the graph against an independent computation, and the CTranslate2 reader."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from models.train.ctranslate2 import read_weights
from models.train.log_mel import LogMel, mel_filters
from models.train.whisper_encoder import SAMPLES, WhisperEncoder


def speech_like() -> np.ndarray:
    random = np.random.default_rng(0)
    time_s = np.arange(SAMPLES) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * (200 + 300 * time_s) * time_s) * (time_s > 1)
    return (tone + random.normal(0, 1e-4, SAMPLES)).astype(np.float32)


def numpy_log_mel(audio: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Whisper's definition by an FFT of each frame in double precision."""
    padded = np.pad(audio.astype(np.float64), 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:-1]
    power = np.abs(np.fft.rfft(frames * np.hanning(401)[:-1])) ** 2
    decades = np.log10(np.maximum(filters.astype(np.float64) @ power.T, 1e-10))
    return (np.maximum(decades, decades.max() - 8) + 4) / 4


def test_log_mel_is_whispers() -> None:
    audio = speech_like()
    expected = numpy_log_mel(audio, mel_filters())
    got = LogMel()(torch.from_numpy(np.stack([audio, 0.1 * audio]))).numpy()
    assert got.shape == (2, 80, 300)
    np.testing.assert_allclose(got[0], expected, atol=1e-3)
    assert np.ptp(expected) == pytest.approx(2.0), "the floor 8 decades below the loudest is in play"
    np.testing.assert_allclose(got[1], numpy_log_mel(0.1 * audio, mel_filters()), atol=1e-3)


def test_mel_filters_are_those_of_transformers() -> None:
    from transformers import audio_utils

    theirs = audio_utils.mel_filter_bank(201, 80, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(), theirs.T, atol=1e-7)


def test_silence_gives_finite_statistics_with_a_random_encoder() -> None:
    torch.manual_seed(0)
    statistics = WhisperEncoder(depth=2)(torch.zeros(1, SAMPLES))
    assert statistics.shape == (1, 2 * 3 * 384)
    assert bool(torch.isfinite(statistics).all())


def test_a_random_encoders_statistics_are_mean_deviation_and_maximum() -> None:
    torch.manual_seed(0)
    encoder = WhisperEncoder(depth=1).eval()
    heard: list[torch.Tensor] = []
    encoder.layers[0].register_forward_hook(lambda _module, _inputs, output: heard.append(output))
    with torch.no_grad():
        statistics = encoder(torch.from_numpy(speech_like())[None])[0].numpy()
    hidden = heard[0][0].numpy()
    assert hidden.shape == (150, 384)
    expected = np.concatenate([hidden.mean(0), hidden.std(0), hidden.max(0)])
    np.testing.assert_allclose(statistics, expected, atol=1e-4)


def variable(name: str, kind: int, array: np.ndarray) -> bytes:
    data = array.tobytes()
    head = struct.pack("<H", len(name) + 1) + name.encode() + b"\0"
    return head + struct.pack(f"<B{array.ndim}IBI", array.ndim, *array.shape, kind, len(data)) + data


def model_file(path: Path, *variables: bytes, version: int = 6) -> Path:
    spec = struct.pack("<H", 6) + b"Model\0"
    path.write_bytes(struct.pack("<I", version) + spec + struct.pack("<II", 3, len(variables)) + b"".join(variables))
    return path


def test_ctranslate2_variables_are_read_by_prefix(tmp_path: Path) -> None:
    half = np.arange(6, dtype="<f2").reshape(2, 3) / 4
    single = np.array([0.1, -7.5], "<f4")
    path = model_file(
        tmp_path / "model.bin",
        variable("decoder/weight", 1, np.array([[1, 2]], "i1")),
        variable("encoder/heads", 2, np.array(6, "<i2")),
        variable("encoder/weight", 4, half),
        variable("encoder/bias", 0, single),
    )
    weights = read_weights(path, "encoder/")
    assert set(weights) == {"weight", "bias"}
    np.testing.assert_array_equal(weights["weight"], half.astype(np.float32))
    np.testing.assert_array_equal(weights["bias"], single)


def test_ctranslate2_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="version 7"):
        read_weights(model_file(tmp_path / "new.bin", version=7), "")
    quantised = model_file(tmp_path / "int8.bin", variable("encoder/weight", 1, np.zeros((2, 2), "i1")))
    with pytest.raises(ValueError, match="encoder/weight"):
        read_weights(quantised, "encoder/")
