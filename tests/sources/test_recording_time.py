"""Where the units of a recording are placed: starts, gaps, restarts, jumps and missing stamps."""

import numpy as np
import pytest

from tests.sources.made import Make, flv, flv_tags
from tests.sources.reading import agrees, read

SAME = {second: second for second in range(6)}
DAY_S = 86_400

FORMATS = [
    ("mp4", Make()),
    ("mkv", Make(video="libvpx", audio="libopus")),
    ("ts", Make(video="mpeg2video", audio="mp2")),
    ("flv", Make(sample_rate=44_100)),
]
formats = pytest.mark.parametrize(("ending", "make"), FORMATS, ids=[each[0] for each in FORMATS])


@pytest.mark.parametrize(
    ("ending", "make"),
    [
        *FORMATS,
        ("webm", Make(video="libvpx-vp9", audio="libopus")),
        ("avi", Make(video="mjpeg", pixel_format="yuvj420p", audio="pcm_s16le")),
        ("mpg", Make(video="mpeg1video", audio="mp2")),
        ("3gp", Make(video="h263", size=(176, 144))),
        ("mov", Make(video="mpeg4", audio="pcm_s16le")),
    ],
)
def test_content_is_where_it_belongs(tmp_path, ending, make):
    found = read(make.write(tmp_path / f"a.{ending}"))
    agrees(found.seen(), SAME)
    agrees(found.heard(), SAME)
    assert not found.report


@pytest.mark.parametrize(
    ("ending", "make"),
    [
        ("ogg", Make(video=None, audio="libopus")),
        ("wav", Make(video=None, audio="pcm_u8", sample_rate=22_050)),
        ("wav", Make(video=None, audio="pcm_s24le", sample_rate=192_000)),
        ("wav", Make(video=None, audio="pcm_f64le", sample_rate=11_025)),
        ("wav", Make(video=None, audio="pcm_mulaw", sample_rate=8_000)),
        ("mp3", Make(video=None, audio="mp3", layout="stereo")),
        ("aac", Make(video=None)),
        ("flac", Make(video=None, audio="flac", sample_rate=96_000)),
        ("ac3", Make(video=None, audio="ac3", layout="5.1")),
        ("m4a", Make(video=None, container="mp4", sample_rate=44_100)),
    ],
)
def test_sound_of_any_kind_is_where_it_belongs(tmp_path, ending, make):
    agrees(read(make.write(tmp_path / f"a.{ending}")).heard(), SAME)


@pytest.mark.parametrize("rate", [1, 240])
def test_any_frame_rate(tmp_path, rate):
    found = read(Make(rate=rate).write(tmp_path / "a.mkv"))
    agrees(found.seen(), SAME)
    assert len(found.frames) == min(6 * rate, 30)


@formats
@pytest.mark.parametrize("late", ["audio", "video"])
def test_a_late_start_stays(tmp_path, ending, make, late):
    path = make.write(tmp_path / f"a.{ending}", lambda kind, at_s: at_s + 3 if kind == late else at_s)
    found = read(path)
    shifted = {second + 3: second for second in range(6)}
    agrees(found.seen(), shifted if late == "video" else SAME)
    agrees(found.heard(), shifted if late == "audio" else SAME)
    assert not found.report
    alone = read(path, face=None)
    assert alone.heard() == found.heard()


@formats
def test_a_common_offset_vanishes(tmp_path, ending, make):
    found = read(make.write(tmp_path / f"a.{ending}", lambda kind, at_s: at_s + 5000))
    agrees(found.seen(), SAME)
    agrees(found.heard(), SAME)
    assert not found.report


@formats
def test_a_muted_track_leaves_a_gap(tmp_path, ending, make):
    path = make.write(tmp_path / f"a.{ending}", lambda kind, at_s: None if kind == "audio" and 2 <= at_s < 4 else at_s)
    found = read(path)
    agrees(found.seen(), SAME)
    assert {second for second, content in found.heard().items() if content != {second}} <= {2, 4}
    assert found.heard()[5] == {5}
    assert found.said("1 gap of 2.0 s")
    pairs = list(zip(found.chunks, found.chunks[1:], strict=False))
    assert sum(after.media_time_s - before.end_s > 0.01 for before, after in pairs) == 1


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("from_s", [0, 5])
def test_a_gap_of_any_length_is_kept_where_the_other_stream_goes_on(tmp_path, ending, from_s):
    def slow(kind, at_s):
        if kind == "video":
            return at_s * 46  # 20 s at 50 Hz become 920 s, a picture each 0.92 s
        return at_s if at_s < from_s else at_s + 900

    path = Make(seconds=20, rate=50).write(tmp_path / f"a.{ending}", slow)
    for found in (read(path), read(path, face=None)):
        assert found.chunks[-1].end_s == pytest.approx(920, abs=0.5)
        assert sum(len(chunk.samples) for chunk in found.chunks) == pytest.approx(16_000 * 20, rel=0.05)
        assert not found.said("closed")


@formats
def test_a_pause_of_both_streams_is_kept(tmp_path, ending, make):
    found = read(make.write(tmp_path / f"a.{ending}", lambda kind, at_s: at_s + 20 if at_s >= 3 else at_s))
    paused = {0: 0, 1: 1, 2: 2, 23: 3, 24: 4, 25: 5}
    assert found.seen().keys() - {22} == paused.keys()
    assert all(found.seen()[at] == {content} for at, content in ((1, 1), (24, 4)))
    assert all(found.heard()[at] == {content} for at, content in ((1, 1), (24, 4)))


@formats
@pytest.mark.parametrize("streams", [("video", "audio"), ("video",), ("audio",)])
def test_a_jump_of_hours_is_closed(tmp_path, ending, make, streams):
    path = make.write(
        tmp_path / f"a.{ending}", lambda kind, at_s: at_s + 7200 if kind in streams and at_s >= 3 else at_s
    )
    found = read(path)
    assert max(unit.media_time_s for unit in found.units) < 8
    assert {5} <= set.union(*found.seen().values()) & set.union(*found.heard().values())
    for name in streams:
        assert any(sentence.startswith(f"{name}: the time stamps jump ahead") for sentence in found.report)
    assert not found.said("truncated")


def test_opus_that_pauses_in_silence_keeps_its_time(tmp_path):
    def pausing(kind, at_s):
        return at_s if int(at_s * 10) % 8 < 4 or kind == "video" else None

    found = read(Make(video="libvpx", audio="libopus").write(tmp_path / "a.webm", pausing))
    assert len(found.chunks) > 20
    for second, content in found.heard().items():
        assert content <= {second - 1, second, second + 1}
    lengths = sum(len(chunk.samples) for chunk in found.chunks) / 16_000
    assert 2.4 < lengths < 3.6


class Tags:
    """An FLV file whose tags get other times."""

    def __init__(self, folder):
        self.path = folder / "a.flv"
        data = Make(sample_rate=44_100).write(self.path).read_bytes()
        self.header, self.tags = data[:13], flv_tags(data)

    def read(self, change):
        """`change(kind, time_ms, number)`: another time, or None to leave the tag out."""
        numbers = {8: 0, 9: 0, 18: 0}
        changed = []
        for kind, time_ms, body in self.tags:
            to_ms = change(kind, time_ms, numbers[kind])
            numbers[kind] += 1
            if to_ms is not None:
                changed.append((kind, to_ms, body))
        self.path.write_bytes(flv(changed, self.header))
        return read(self.path)


@pytest.fixture
def tags(tmp_path):
    return Tags(tmp_path)


VIDEO, AUDIO = 9, 8


@pytest.mark.parametrize("kind", [VIDEO, AUDIO])
@pytest.mark.parametrize("ahead_s", [30 * DAY_S, 100, 3])
@pytest.mark.parametrize("numbers", [range(70, 71), range(70, 75)])
def test_a_few_odd_stamps_change_nothing(tags, kind, ahead_s, numbers):
    found = tags.read(lambda each, at_ms, n: at_ms + ahead_s * 1000 if each == kind and n in numbers else at_ms)
    agrees(found.seen(), SAME)
    agrees(found.heard(), SAME)
    assert found.said("impossible time stamp")


@pytest.mark.parametrize("numbers", [range(2), range(145, 200)])
def test_odd_stamps_at_the_edges_of_the_file(tags, numbers):
    found = tags.read(lambda kind, at_ms, n: at_ms + 30 * DAY_S * 1000 if kind == VIDEO and n in numbers else at_ms)
    agrees(found.seen(), SAME)
    agrees(found.heard(), SAME)


def test_one_stream_that_leaves_for_two_seconds_comes_back(tags):
    found = tags.read(lambda kind, at_ms, n: at_ms + 100_000 if kind == VIDEO and 70 <= n < 120 else at_ms)
    agrees(found.seen(), SAME)
    agrees(found.heard(), SAME)


@pytest.mark.parametrize("muted", [False, True])
def test_stamps_that_begin_again_are_appended(tags, muted):
    def restart(kind, at_ms, _):
        if muted and kind == AUDIO and 2000 <= at_ms < 3000:
            return None
        return at_ms - 3000 if at_ms >= 3000 else at_ms

    found = tags.read(restart)
    agrees(found.seen(), SAME)
    assert found.heard()[4] == {4}
    assert found.heard()[1] == {1}
    assert found.said("video: the time stamps begin again once")
    assert found.said("audio: the time stamps begin again once")


def test_stamps_that_stand_still_are_counted(tags):
    found = tags.read(lambda kind, at_ms, n: 0)
    assert len(found.frames) == pytest.approx(30, abs=2)
    agrees(found.heard(), SAME)


def test_stamps_of_sound_at_half_the_speed_are_ignored(tags):
    agrees(tags.read(lambda kind, at_ms, n: at_ms // 2 if kind == AUDIO else at_ms).heard(), SAME)


def test_jitter_is_absorbed(tags):
    rng = np.random.default_rng(0)
    found = tags.read(lambda kind, at_ms, n: max(0, at_ms + int(rng.integers(-60, 61))))
    assert {len(chunk.samples) for chunk in found.chunks} == {1600}
    starts = [chunk.media_time_s for chunk in found.chunks]
    assert np.allclose(np.diff(starts), 0.1)


def test_random_stamps_cost_no_hours(tags):
    rng = np.random.default_rng(0)
    found = tags.read(lambda kind, at_ms, n: int(rng.integers(0, 2**31)))
    assert 0 < max(unit.media_time_s for unit in found.units) < 3600


@pytest.mark.parametrize("first", [VIDEO, AUDIO])
def test_streams_stored_one_after_the_other(tags, first):
    tags.tags.sort(key=lambda tag: tag[0] != first)
    found = tags.read(lambda kind, at_ms, n: at_ms)
    agrees(found.seen(), SAME)
    agrees(found.heard(), SAME)


@pytest.mark.parametrize(
    ("ending", "make"),
    [
        ("ts", Make()),
        ("mpg", Make(video="mpeg1video", audio="mp2")),
        ("mkv", Make()),
        ("mp3", Make(video=None, audio="mp3")),
        ("aac", Make(video=None)),
        ("ogg", Make(video=None, audio="libopus")),
        ("h264", Make(audio=None)),
    ],
)
def test_files_behind_one_another_are_read_as_one(tmp_path, ending, make):
    first, path = make.write(tmp_path / f"first.{ending}"), tmp_path / f"both.{ending}"
    path.write_bytes(first.read_bytes() * 2)
    found = read(path)
    twice = {second: second % 6 for second in range(12)}
    for by_second in (found.seen() if make.video else {}, found.heard() if make.audio else {}):
        for second in (1, 4, 7, 10) if by_second else ():
            assert twice[second] in by_second[second]
    assert max(unit.media_time_s for unit in found.units) > 11


@pytest.mark.parametrize("seconds", [5.5, 5.0, 3.3])
def test_flac_files_behind_one_another_overlap_nowhere(tmp_path, seconds):
    """FFmpeg gives the packet in which one ends and the next begins neither a stamp nor a length."""
    first = Make(seconds=seconds, video=None, audio="flac").write(tmp_path / "first.flac")
    path = tmp_path / "a.flac"
    path.write_bytes(first.read_bytes() * 2)
    found = read(path)
    assert len(found.sound) == pytest.approx(2 * seconds * 16_000, abs=1600)
    assert not found.said("overlap")


@pytest.mark.parametrize("ending", ["wav", "flv", "mp4"])
def test_what_cannot_be_read_behind_the_first_file_is_mentioned(tmp_path, ending):
    make = Make(video=None, audio="pcm_s16le") if ending == "wav" else Make(size=(640, 480), sample_rate=44_100)
    path = make.write(tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes() * 2)
    assert read(path).said("were not read")


def test_raw_video_without_stamps_goes_by_its_frame_rate(tmp_path):
    agrees(read(Make(audio=None, rate=10).write(tmp_path / "a.h264")).seen(), SAME)


@pytest.mark.parametrize("ending", ["mkv", "flv", "flac", "mp4"])
def test_truncation_is_reported_where_the_header_promises_more(tmp_path, ending):
    options = (("movflags", "faststart"),) if ending == "mp4" else ()
    make = Make(video=None, audio="flac") if ending == "flac" else Make(sample_rate=44_100, options=options)
    path = make.write(tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = read(path)
    assert found.units
    assert found.said("truncated")


def test_one_modality_of_a_file_whose_streams_differ_in_length_is_not_truncated(tmp_path):
    path = Make().write(tmp_path / "a.mkv", lambda kind, at_s: None if kind == "audio" and at_s > 2 else at_s)
    assert not read(path, face=None).report
    assert not read(path).report
