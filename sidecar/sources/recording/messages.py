"""FFmpeg's errors in plain words."""

from typing import Final

import av.error

_WORDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (FileNotFoundError, "there is no such file"),
    (IsADirectoryError, "it is a folder"),
    (NotADirectoryError, "a part of its path is not a folder"),
    (PermissionError, "this user may not read it"),
    (MemoryError, "it needs more memory than there is"),
    (av.error.DecoderNotFoundError, "it has a format that this program cannot decode"),
    (av.error.ProtocolNotFoundError, "it refers to another address, and only local files are read"),
    (av.error.PatchWelcomeError, "it uses a feature that this program cannot decode"),
    (av.error.EOFError, "it ends before any sound or picture"),
    (av.error.InvalidDataError, "it is not a recording, or its beginning is damaged"),
)


_DAMAGE: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (av.error.InvalidDataError, "invalid data"),
    (av.error.PatchWelcomeError, "a feature that the decoder lacks"),
    (MemoryError, "not enough memory"),
)


def in_plain_words(error: BaseException) -> str:
    """What `error` of FFmpeg or the system means for a file, without error numbers."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    strerror = getattr(error, "strerror", None)
    return str(strerror).lower() if strerror else type(error).__name__


def as_damage(error: BaseException) -> str:
    """What `error` means for one packet or frame of a file that can be read otherwise."""
    for kind, words in _DAMAGE:
        if isinstance(error, kind):
            return words
    return "refused by the decoder"  # damaged data can cause any error, such as "permission denied"
