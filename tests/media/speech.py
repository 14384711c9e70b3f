"""Real speech for tests of the audio path."""

import os
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from sidecar.types import FloatArray


@cache
def jfk() -> FloatArray:
    """Eleven seconds of clear English, mono 16 kHz; skips the test where the shared data is absent."""
    folder = Path(os.environ.get("SIDECAR_DATA", Path(__file__).parents[3] / "shared/data"))
    path = folder / "clips/jfk.flac"
    if not path.is_file():
        pytest.skip("needs clips/jfk.flac of the shared data (SIDECAR_DATA)")
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    samples: FloatArray = np.concatenate(parts).astype(np.float32)
    samples.setflags(write=False)
    return samples
