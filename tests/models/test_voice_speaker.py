"""The speaker baseline over the clips of a corpus."""

import numpy as np

from models.train.voice_speaker import streamed
from sidecar.fusion.calibration import Calibration
from tests.fusion.test_calibration import Head, Scaling

TYPICAL = tuple(tuple(3.0 if row == column else 0.0 for column in range(8)) for row in range(8))
HEAD = Calibration(Head(calibration=Scaling(typical=TYPICAL)))


def test_speakers_are_kept_apart_and_recordings_where_asked() -> None:
    random = np.random.default_rng(0)
    shown = np.tile([0, 2, 3, 5], 40)
    speakers = np.repeat(["sharp", "usual"], 80)
    logits = np.asarray(TYPICAL, np.float32)[shown] + random.normal(0, 0.3, (160, 8)).astype(np.float32)
    logits[speakers == "sharp", 4] += 2
    together = streamed(logits, list(speakers), HEAD)
    late = np.abs(together - logits).max(1)
    assert late[speakers == "sharp"].mean() > 2 * late[speakers == "usual"].mean()
    assert together[speakers == "sharp", 4].mean() < logits[speakers == "sharp", 4].mean() - 0.5
    single = streamed(logits, list(speakers), HEAD, apart=list(shown))
    assert np.abs(single - logits).mean() < 0.3 * np.abs(together - logits).mean()
    np.testing.assert_array_equal(together, streamed(logits, list(speakers), HEAD))
    assert not np.array_equal(together, streamed(logits, list(speakers), HEAD, seed=1))
