"""Synthesised speech, where no recording of a voice is at hand: eSpeak NG out of PyPI's `espeakng-loader`.

That package carries the library and its voices, so that nothing is downloaded when the demo runs.
The calls are those of `speak_lib.h`, https://github.com/espeak-ng/espeak-ng/blob/1.52.0/src/include/espeak-ng/speak_lib.h
"""

import ctypes
import tempfile
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import espeakng_loader

from sidecar.errors import ConfigurationError

_RETRIEVAL: Final = 1  # AUDIO_OUTPUT_RETRIEVAL: samples go to the callback
_DO_NOT_EXIT: Final = 0x8000  # espeakINITIALIZE_DONT_EXIT
_CHARACTERS_UTF8: Final = 1
_POSITION_CHARACTER: Final = 1
_RATE_WORDS_PER_MINUTE: Final = 1  # espeakRATE
_BUFFER_MS: Final = 200
_PAUSE_S: Final = 0.6

_Samples = ctypes.POINTER(ctypes.c_short)
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, _Samples, ctypes.c_int, ctypes.c_void_p)


def speak(lines: Sequence[str], voice: str, path: Path, words_per_minute: int = 150) -> None:
    """Write the lines, a pause after each, as a mono WAV file. `voice` as eSpeak names it: `en-us+f3`.

    Raises `ConfigurationError` where the library cannot speak.
    """
    with _initialised() as (library, rate_hz), wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        heard: list[bytes] = []

        def take(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: int | None) -> int:
            if samples and count > 0:
                heard.append(ctypes.string_at(samples, count * 2))
            return 0  # go on

        callback = _Callback(take)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ConfigurationError(f"eSpeak NG knows no voice {voice!r}")
        library.espeak_SetParameter(_RATE_WORDS_PER_MINUTE, words_per_minute, 0)
        for line in lines:
            text = line.encode()
            library.espeak_Synth(
                text, ctypes.c_size_t(len(text) + 1), 0, _POSITION_CHARACTER, 0, _CHARACTERS_UTF8, None, None
            )
            library.espeak_Synchronize()
            heard.append(bytes(2 * int(_PAUSE_S * rate_hz)))
        file.writeframes(b"".join(heard))


@contextmanager
def _initialised() -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library and its sample rate in hertz, until the context ends."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        # The library cuts a path of its data after 160 characters; a link has a short one.
        (Path(folder) / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path())
        rate_hz: int = library.espeak_Initialize(_RETRIEVAL, _BUFFER_MS, folder.encode(), _DO_NOT_EXIT)
        if rate_hz <= 0:
            raise ConfigurationError("eSpeak NG does not start")
        try:
            yield library, rate_hz
        finally:
            library.espeak_Terminate()
