"""The speech gate's network in streaming use: chunk sizes do not matter, gaps and nonsense do no lasting harm."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from sidecar.inference.batcher import Batcher, BatcherOptions
from sidecar.inference.collation import Whole
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest
from sidecar.inference.silero import SileroVad, VadStream
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, FloatArray, Modality, Permit
from tests.fakes.clock import VirtualClock
from tests.media.speech import jfk

PERMIT = Permit("ada", Modality.VOICE)


def chunk(samples: FloatArray, media_time_s: float) -> AudioChunk:
    return AudioChunk(samples.astype(np.float32), media_time_s, 0.0, PERMIT)


@pytest.fixture
async def vad() -> AsyncIterator[SileroVad]:
    """The network of the pack."""
    folder = Path(__file__).parents[2] / "models"
    (spec,) = (spec for spec in read_manifest(folder) if spec.role == "vad")
    options = BatcherOptions(max_batch=1)
    async with Batcher(
        OrtModel(spec, folder / spec.file), spec.name, options, VirtualClock(), Telemetry(), collation=Whole()
    ) as batcher:
        yield SileroVad(spec, batcher)


async def probabilities(vad: SileroVad, samples: FloatArray, size: int) -> FloatArray:
    stream = VadStream()
    return np.concatenate(
        [
            (await vad.detect(stream, chunk(samples[start : start + size], start / 16_000)))[1]
            for start in range(0, len(samples), size)
        ]
    )


async def test_speech_is_speech_and_noise_is_not(vad: SileroVad) -> None:
    speech = await probabilities(vad, jfk(), 1600)
    assert np.mean(speech > 0.5) > 0.6
    hiss = np.random.default_rng(0).normal(0, 0.05, 48_000)
    assert np.mean(await probabilities(vad, hiss, 1600) > 0.5) < 0.1
    assert np.mean(await probabilities(vad, np.zeros(48_000), 1600) > 0.5) == 0


async def test_the_size_of_the_chunks_does_not_matter(vad: SileroVad) -> None:
    samples = jfk()[:48_000]
    whole = await probabilities(vad, samples, 48_000)
    assert len(whole) == 48_000 // 512
    for size in (160, 511, 1600, 4000):
        np.testing.assert_allclose(await probabilities(vad, samples, size), whole, atol=1e-5)


async def test_frames_are_dated(vad: SileroVad) -> None:
    stream = VadStream()
    silence = np.zeros(1600)
    assert await vad.detect(stream, chunk(silence, 5.0)) == (5.0, pytest.approx(np.zeros(3), abs=0.2))
    start_s, found = await vad.detect(stream, chunk(silence, 5.1))
    assert start_s == pytest.approx(5.096)
    assert len(found) == 3
    start_s, found = await vad.detect(stream, chunk(silence, 9.0))  # after a gap
    assert start_s == 9.0
    assert len(found) == 3


async def test_a_sample_that_is_no_number_does_no_lasting_harm(vad: SileroVad) -> None:
    stream = VadStream()
    samples = jfk()[:48_000].copy()
    samples[1000] = np.nan
    samples[2000] = np.inf
    assert np.isfinite(await probabilities(vad, samples, 1600)).all()
    await vad.detect(stream, chunk(samples, 0.0))
    assert np.isfinite(stream.state).all()


async def test_clearing_forgets(vad: SileroVad) -> None:
    used, fresh = VadStream(), VadStream()
    samples = jfk()[:32_000]
    await vad.detect(used, chunk(samples[:16_100], 0.0))
    used.clear()
    _, after = await vad.detect(used, chunk(samples[16_100:], 1.00625))
    _, anew = await vad.detect(fresh, chunk(samples[16_100:], 1.00625))
    np.testing.assert_array_equal(after, anew)
