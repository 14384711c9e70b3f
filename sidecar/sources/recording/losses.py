"""Losses that a file's own bytes give away, where FFmpeg reads what is left without a word."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_LEAST_BYTES: Final = 1024
"""Less is padding that was left out."""
_UNKNOWN: Final = 0x7FFF_0000
"""Programs that write to a pipe cannot know the size, and state about the largest one."""
_PAGE: Final = 27
"""Bytes of an Ogg page's header, without the table of its segments."""
_LAST_PAGE: Final = 4
_ANIMATED: Final = 2
_SEARCH_BYTES: Final = 1 << 16


def losses(path: Path) -> Iterator[str]:
    """Sentences for the operator. Raises `OSError`."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(21)
        if head[:4] in (b"RIFF", b"FORM"):
            promised = 8 + int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
            if size + _LEAST_BYTES < promised < _UNKNOWN:
                yield f"file: truncated, {size / promised:.0%} of what its header promises are there"
            if head[8:16] == b"WEBPVP8X" and head[20:] and head[20] & _ANIMATED:
                yield "file: it is an animated WebP picture, and the decoder reads single ones only; convert it to MP4"
        elif head[:4] == b"OggS":
            yield from _losses_of_ogg(file, size)


def frames_of_mp3(path: Path) -> int | None:
    """The number of frames that the first frame of an MP3 file states, if it does. Raises `OSError`.

    FFmpeg's duration is a guess where the file is longer than that.
    """
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False)))
        else:
            file.seek(0)
        first = file.read(512)
    for mark in (b"Xing", b"Info"):
        at = first.find(mark)
        if at >= 0 and len(first) >= at + 12 and first[at + 7] & 1:
            return int.from_bytes(first[at + 8 : at + 12])
    at = first.find(b"VBRI")
    return int.from_bytes(first[at + 14 : at + 18]) if at >= 0 else None


def _losses_of_ogg(file: BinaryIO, size: int) -> Iterator[str]:
    """Pages are numbered in each of the file's streams, and the last one is marked."""
    numbers: dict[int, int] = {}
    missing, end, last = 0, 0, False
    for at, header, length in _pages(file):
        serial, number = int.from_bytes(header[14:18], "little"), int.from_bytes(header[18:22], "little")
        missing += max(0, number - numbers.get(serial, number - 1) - 1)
        numbers[serial] = number
        end, last = at + length, bool(header[5] & _LAST_PAGE)
    if missing:
        yield f"file: {missing} of its pages are missing or damaged"
    if end > size or not last:
        yield "file: it has no last page; its end may be cut off"


def _pages(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Place, header and length of each page; what is damaged in between is skipped."""
    at = 0
    while True:
        file.seek(at)
        header = file.read(_PAGE + 255)
        if header[:4] == b"OggS" and len(header) >= _PAGE:
            segments = header[26]
            length = _PAGE + segments + sum(header[_PAGE : _PAGE + segments])
            yield at, header, length
            at += length
            continue
        block = header + file.read(_SEARCH_BYTES)
        found = block.find(b"OggS", 1)
        if found < 0 and len(block) < _SEARCH_BYTES:
            return
        at += found if found > 0 else len(block) - 3
