"""Losses that a file's own bytes give away are reported."""

import pytest

from tests.sources.made import Make, tones, write_sound
from tests.sources.reading import read


def sound(path, seconds=6, rate=44_100, **kw):
    codecs = {"wav": "pcm_s16le", "aiff": "pcm_s16be", "mp3": "mp3", "ogg": "libopus"}
    rate = 48_000 if path.suffix == ".ogg" else rate
    return write_sound(path, tones(seconds, rate), rate, "mono", codec=codecs[path.suffix[1:]], **kw)


FORMATS = pytest.mark.parametrize("ending", ["wav", "aiff", "mp3", "ogg"])


@FORMATS
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_end_is_reported(tmp_path, ending, share):
    path = sound(tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    if ending == "mp3" and share == 0.9:
        return  # less than a second
    found = read(path)
    assert found.chunks
    assert found.said("truncated") or found.said("cut off")


@FORMATS
def test_a_whole_file_is_not_called_cut(tmp_path, ending):
    assert not read(sound(tmp_path / f"a.{ending}")).report


def test_an_avi_that_is_cut(tmp_path):
    path = Make(video="mpeg4", audio="mp3", sample_rate=44_100).write(tmp_path / "a.avi")
    assert not read(path).said("truncated")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert read(path).said("truncated")


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_F024])
def test_a_size_that_is_not_known_promises_nothing(tmp_path, size):
    path = sound(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[4:8] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert not read(path).report


def test_pages_that_are_missing(tmp_path):
    path = sound(tmp_path / "a.ogg", 12)
    pages = [b"OggS" + page for page in path.read_bytes().split(b"OggS")[1:]]
    path.write_bytes(b"".join(page for index, page in enumerate(pages) if index not in (4, 5)))
    assert read(path).said("2 of its pages are missing")


def test_a_page_that_is_zeroed(tmp_path):
    path = sound(tmp_path / "a.ogg", 12)
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + 9000] = bytes(9000)
    path.write_bytes(data)
    assert read(path).said("missing or damaged")


def test_a_second_file_behind_the_first_is_not_missing(tmp_path):
    first, path = sound(tmp_path / "first.ogg"), tmp_path / "a.ogg"
    path.write_bytes(first.read_bytes() * 2)
    assert not read(path).said("missing")
    assert not read(path).said("cut off")


def test_tags_before_an_mp3(tmp_path):
    path = sound(tmp_path / "a.mp3")
    data = path.read_bytes()
    size = 200_000
    tag = b"ID3\x03\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + bytes(size)
    path.write_bytes(tag + data[: len(data) // 2])
    assert read(path).said("truncated")


def test_an_mp3_behind_another_is_not_missing(tmp_path):
    first, path = sound(tmp_path / "first.mp3"), tmp_path / "a.mp3"
    path.write_bytes(first.read_bytes() * 2)
    assert not read(path).said("truncated")


def test_a_low_rate_mp3_that_is_cut(tmp_path):
    path = sound(tmp_path / "a.mp3", rate=16_000)
    assert not read(path).report
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert read(path).said("truncated")
