"""Who takes part in the demo, and what each shows, says and consents to."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.demo.media import has_stream, pictures, speech
from sidecar.errors import ConfigurationError

ADA: Final = "ada"
GRACE: Final = "grace"


@dataclass(frozen=True, slots=True)
class Role:
    """One simulated participant."""

    identity: str
    consent: str
    """The words of `engagement.consent` on joining."""
    media: Path
    """Recording for the camera and, without `voice`, the microphone."""
    voice: Path | None = None
    lines: Sequence[str] = ()
    """What the transcript says, line by line, for ever."""


_ADA_SAYS: Final = (
    "That makes sense to me, thank you for explaining it so clearly.",
    "I really like where this is going.",
    "Wonderful, let us try that in the next session.",
)
_GRACE_SAYS: Final = (
    "I am not sure that I follow this part.",
    "We have tried it twice now and it still does not work.",
    "Can we go back to the beginning, please?",
)


def find_clips() -> Path | None:
    """The folder of recorded clips: below `SIDECAR_DATA`, else `shared/data` beside the repository; None without."""
    told = os.environ.get("SIDECAR_DATA")
    clips = (Path(told) if told else Path(__file__).parents[3] / "shared" / "data") / "clips"
    return clips if clips.is_dir() else None


def roles(clips: Path | None, media: Path | None, folder: Path) -> tuple[Role, Role]:
    """Ada, who consents to all there is of her, and Grace, who keeps her words to herself.

    `clips`: the folder of recorded clips, where there is one; otherwise photographs are filmed and lines spoken into
    `folder`. `media`: one's own recording, which Ada plays. Raises `RecordingError` where that cannot be played.
    """
    if media is not None:
        _check(media)
    if clips is not None:
        ada = Role(ADA, "face,voice,text", clips / "lbbc2a.mpg", lines=_ADA_SAYS)
        return _own(media) if media else ada, Role(
            GRACE, "face,voice", clips / "WolfgangLanger_Pexels.mp4", clips / "jfk.flac"
        )
    return _stand_ins(media, folder)


def _stand_ins(media: Path | None, folder: Path) -> tuple[Role, Role]:
    try:
        from sidecar.demo.portrait import admiral, astronaut, film  # noqa: PLC0415 - the extra `demo` may be absent
        from sidecar.demo.speaker import speak  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"the demo needs {error.name}: install `engagement-sidecar[demo,plot]`") from error
    film(admiral(), folder / "grace.mp4")
    speak(_GRACE_SAYS, "en-us+f2", folder / "grace.wav", words_per_minute=135)
    grace = Role(GRACE, "face,voice", folder / "grace.mp4", folder / "grace.wav")
    if media is not None:
        return _own(media), grace
    film(astronaut(), folder / "ada.mp4")
    speak(_ADA_SAYS, "en-us+f3", folder / "ada.wav")
    return Role(ADA, "face,voice,text", folder / "ada.mp4", folder / "ada.wav", _ADA_SAYS), grace


def _own(media: Path) -> Role:
    """Ada with a recording that has no transcript: lines of ours would be read as its words."""
    return Role(ADA, "face,voice", media)


def _check(media: Path) -> None:
    """Decode the beginning of a recording. Raises `RecordingError`."""
    if has_stream(media, "video"):
        next(pictures(media))
    if has_stream(media, "audio"):
        next(speech(media))
