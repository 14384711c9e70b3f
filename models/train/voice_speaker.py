"""The sidecar's baseline of a speaker over whole corpora, as a call would meet them: one clip after the other.

    adjusted = streamed(logits, speakers, Calibration(spec))                  # everybody shows all that they show
    adjusted = streamed(logits, speakers, Calibration(spec), apart=emotions)  # each recording holds one emotion

The second case is what normalising by the speaker fails at: there is nothing to lean on. Figures are means over seeds,
since the order matters.
"""

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.fusion.calibration import Calibration
from sidecar.fusion.speaker_baseline import SpeakerBaseline, SpeakerOptions

CLIPS: Final = SpeakerOptions(prior_windows=SpeakerOptions().prior_windows / 3)
"""Windows of a call overlap by two thirds; the clips of a corpus do not, so that each counts thrice."""
SEEDS: Final = range(5)


def streamed(
    logits: NDArray[np.float32],
    speakers: Sequence[Hashable],
    head: Calibration,
    *,
    apart: Sequence[Hashable] | None = None,
    seed: int = 0,
    options: SpeakerOptions = CLIPS,
) -> NDArray[np.float32]:
    """(clips, labels) in the order of `logits`, as adjusted when each speaker's clips come in an order drawn by `seed`.

    `apart`: a recording ends where this changes, and with it what is known of the speaker.
    """
    recordings: list[Hashable] = list(speakers if apart is None else zip(speakers, apart, strict=True))
    baselines = {recording: SpeakerBaseline(head, options) for recording in recordings}
    adjusted = np.empty_like(logits)
    for row in np.random.default_rng(seed).permutation(len(logits)):
        adjusted[row] = baselines[recordings[row]].adjust(logits[row])
    return adjusted
