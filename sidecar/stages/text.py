"""The text stage: final transcript segments -> text encoder -> calibrated evidence."""

from collections.abc import Mapping
from typing import Final

from sidecar.errors import UnsupportedLanguage
from sidecar.fusion.calibration import Calibration, EncodedUnit, to_prediction
from sidecar.inference.encoder import Encoder
from sidecar.types import Missing, Modality, Prediction, TranscriptSegment

_ENOUGH_WORDS: Final = 6
"""Words from which a segment counts fully; "yes" alone says little, whatever its logits."""


class TextStage:
    """One person's words."""

    def __init__(
        self, encoder: Encoder[TranscriptSegment], calibration: Calibration, models: Mapping[str, str], language: str
    ) -> None:
        self.models = models
        self._encoder = encoder
        self._calibration = calibration
        self._language = language
        self.missing: Missing | None = Missing.NO_SPEECH
        """No words yet, or none in a language that the model reads."""

    async def observe(self, unit: TranscriptSegment) -> Prediction | None:
        """Raises `Overloaded` and `PermitRevoked`."""
        words = len(unit.text.split())
        if not words:
            return None
        try:
            output = await self._encoder.encode(unit)
        except UnsupportedLanguage:
            self.missing = Missing.UNSUPPORTED_LANGUAGE
            return None
        self.missing = None
        quality = min(1.0, words / _ENOUGH_WORDS)
        encoded = EncodedUnit(
            Modality.TEXT, quality, {"language": self._language}, unit.media_time_s, unit.arrived_s, unit.permit
        )
        return to_prediction(output, self._calibration, encoded)
