"""Which tracks of a file are read, and which files are refused."""

import os
import socket
import threading

import av
import numpy as np
import pytest
from av.stream import Disposition

from sidecar.errors import RecordingError
from sidecar.sources.recording import open_recording
from tests.sources.made import Make, encoded, tones
from tests.sources.reading import read

RATE_HZ = 48_000


def pictures(stream, level, count=25, pixel_format="yuv420p"):
    for _ in range(count):
        picture = np.full((stream.height, stream.width, 3), level, np.uint8)
        yield from stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format))
    yield from stream.encode()


def write(path, *, audio=(), video=(), still=None):
    """Tracks of tones (frequency, disposition) and grey pictures (level, disposition), and a still picture's."""
    with av.open(str(path), "w") as out:
        jobs = []
        for level, disposition in video:
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.disposition = disposition
            jobs.append(pictures(stream, level))
        for hz, disposition in audio:
            stream = out.add_stream("aac", rate=RATE_HZ)
            stream.layout = "mono"
            stream.disposition = disposition
            at_s = np.arange(RATE_HZ) / RATE_HZ
            jobs.append(encoded(stream, (0.3 * np.sin(2 * np.pi * hz * at_s)).astype(np.float32)[None], RATE_HZ))
        if still is not None:
            stream = out.add_stream("mjpeg", rate=1)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            stream.disposition = still
            jobs.append(pictures(stream, 200, 1, "yuvj420p"))
        for job in jobs:
            for packet in job:
                out.mux(packet)
    return path


def heard_hz(found):
    sound = found.sound[4000:12_000]
    return np.argmax(np.abs(np.fft.rfft(sound * np.hanning(8000)))) * 2


def seen_level(found):
    return float(np.mean([frame.rgb.mean() for frame in found.frames]))


NONE, DEFAULT = Disposition(0), Disposition.default


@pytest.mark.parametrize(
    ("dispositions", "chosen"),
    [
        ((DEFAULT, NONE), 0),
        ((NONE, DEFAULT), 1),
        ((NONE, NONE), 0),
        ((DEFAULT, DEFAULT), 0),
        ((Disposition.comment, NONE), 1),
        ((Disposition.visual_impaired, NONE, NONE), 1),
        ((DEFAULT | Disposition.hearing_impaired, NONE), 1),
        ((Disposition.comment,), 0),
    ],
)
def test_the_main_track_of_several_is_read(tmp_path, dispositions, chosen):
    hz = [400, 800, 1200]
    sound = list(zip(hz, dispositions, strict=False))
    found = read(write(tmp_path / "a.mkv", audio=sound))
    assert heard_hz(found) == pytest.approx(hz[chosen], abs=10)
    assert found.said("audio tracks") == (len(dispositions) > 1)


def test_one_of_several_cameras_is_read_and_reported(tmp_path):
    found = read(write(tmp_path / "a.mkv", video=[(60, NONE), (180, DEFAULT)]))
    assert seen_level(found) == pytest.approx(180, abs=6)
    assert found.said("2 video tracks: number 2 is read")


@pytest.mark.parametrize("disposition", [Disposition.attached_pic, Disposition.attached_pic | DEFAULT])
@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac", "mp4"])
def test_a_cover_is_no_camera(tmp_path, ending, disposition):
    path = tmp_path / f"a.{ending}"
    codec = {"mp3": "mp3", "flac": "flac"}.get(ending, "aac")
    with av.open(str(path), "w", format="mp4" if ending == "m4a" else None) as out:
        sound = out.add_stream(codec, rate=RATE_HZ)
        sound.layout = "mono"
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = disposition
        for packet in (*pictures(cover, 200, 1, "yuvj420p"), *encoded(sound, tones(1, RATE_HZ), RATE_HZ)):
            out.mux(packet)
    recording = open_recording(path)
    assert (recording.has_video, recording.has_audio) == (False, True)
    assert any("cover" in note for note in recording.notes)
    assert not read(path).frames


def test_an_attached_file_is_no_camera(tmp_path):
    photo = write(tmp_path / "photo.mp4", still=NONE)
    with av.open(str(photo)) as container:
        body = bytes(next(packet for packet in container.demux() if packet.size))
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("aac", rate=RATE_HZ)
        sound.layout = "mono"
        out.add_attachment("cover.jpg", "image/jpeg", body)
        for packet in encoded(sound, tones(1, RATE_HZ), RATE_HZ):
            out.mux(packet)
    recording = open_recording(path)
    assert (recording.has_video, recording.has_audio) == (False, True)


def test_a_still_beside_sound_is_a_cover_even_without_the_mark(tmp_path):
    recording = open_recording(write(tmp_path / "a.mp4", audio=[(400, DEFAULT)], still=NONE))
    assert not recording.has_video


@pytest.mark.parametrize("first", ["picture", "sound"])
@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        *[(ending, "mjpeg") for ending in ("mkv", "avi", "nut", "mov", "mp4")],
        *[(ending, "png") for ending in ("avi", "nut", "mov")],
        *[(ending, "libx264") for ending in ("mkv", "avi", "flv", "mp4", "ts")],
    ],
)
def test_a_single_picture_beside_sound_is_a_cover(tmp_path, ending, codec, first):
    pixels = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
    with av.open(str(tmp_path / f"a.{ending}"), "w") as out:
        for kind in ("picture", "sound") if first == "picture" else ("sound", "picture"):
            if kind == "sound":
                sound = out.add_stream("mp3" if ending == "avi" else "aac", rate=44_100)
                sound.layout = "mono"
            else:
                cover = out.add_stream(codec, rate=1)
                cover.width, cover.height, cover.pix_fmt = 64, 48, pixels
        for packet in (*pictures(cover, 200, 1, pixels), *encoded(sound, tones(5, 44_100), 44_100)):
            out.mux(packet)
    found = read(tmp_path / f"a.{ending}")
    assert not found.frames
    assert len(found.chunks) >= 48
    assert found.said("cover")


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_camera_of_two_pictures_or_a_late_one_is_no_cover(tmp_path, ending):
    rare = Make(seconds=2, rate=1).write(tmp_path / f"rare.{ending}", lambda kind, at_s: at_s * 5)
    late = Make().write(tmp_path / f"late.{ending}", lambda kind, at_s: at_s + 5 if kind == "video" else at_s)
    assert open_recording(rare).has_video
    assert open_recording(late).has_video


def test_a_short_recording_may_have_one_picture(tmp_path):
    path = Make(seconds=1, rate=1).write(tmp_path / "a.mkv")
    assert open_recording(path).has_video


def test_a_cover_beside_a_camera_is_not_read(tmp_path):
    path = write(tmp_path / "a.mp4", video=[(60, DEFAULT)], audio=[(400, DEFAULT)], still=Disposition.attached_pic)
    assert seen_level(read(path)) == pytest.approx(60, abs=6)


def test_moving_jpegs_are_a_camera(tmp_path):
    path = Make(video="mjpeg", pixel_format="yuvj420p").write(tmp_path / "a.mov")
    assert open_recording(path).has_video


@pytest.mark.parametrize(("ending", "codec", "pixels"), [("jpg", "mjpeg", "yuvj420p"), ("png", "png", "rgb24")])
def test_a_photograph_is_a_recording_of_one_picture(tmp_path, ending, codec, pixels):
    path = tmp_path / f"photo 100%02d.{ending}"
    with av.open(str(tmp_path / "plain"), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for packet in pictures(stream, 120, 1, pixels):
            out.mux(packet)
    (tmp_path / "plain").rename(path)
    found = read(path)
    assert len(found.frames) == 1
    assert found.frames[0].media_time_s == 0
    assert seen_level(found) == pytest.approx(120, abs=4)


@pytest.mark.parametrize(
    "name", ["call:anna.mp4", "http:", "file:b.mp4", "pipe:0", "concat:a|b", "a%d.mp4", "a [b] $c.mp4"]
)
def test_a_name_is_a_name(tmp_path, monkeypatch, name):
    Make(seconds=1).write(tmp_path / "a.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read(tmp_path.__class__(name)).frames


def test_a_name_that_is_not_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff\xfe.mp4")
    Make(seconds=1).write(tmp_path / "a.mp4").rename(path)
    assert read(path).frames


def test_tags_that_are_not_utf_8(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "Zoe XXXX"
        stream = out.add_stream("aac", rate=RATE_HZ)
        stream.layout = "mono"
        for packet in encoded(stream, tones(1, RATE_HZ), RATE_HZ):
            out.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"\xff\xfe\xe9\x80"))
    assert read(path).chunks


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "a.mp4"
    held = None
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        held = socket.socket(socket.AF_UNIX)
        held.bind(str(path))
    with pytest.raises(RecordingError, match=r"a\.mp4"):
        open_recording(path)
    if held is not None:
        held.close()


@pytest.mark.parametrize("ending", ["m3u8", "mpd", "sdp", "txt", "ffconcat"])
def test_play_lists_and_texts_are_refused_and_fetch_nothing(tmp_path, ending):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        texts = {
            "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
            "mpd": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
            f"<BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>",
            "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
            "txt": "some words\n" * 100,
            "ffconcat": f"ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
        }
        calls = []

        def accept():
            try:
                calls.append(server.accept())
            except TimeoutError:
                return

        listener = threading.Thread(target=accept)
        listener.start()
        path = tmp_path / f"a.{ending}"
        path.write_text(texts[ending])
        with pytest.raises(RecordingError):
            open_recording(path)
        listener.join()
        assert not calls


def test_a_track_without_decoder_is_named(tmp_path):
    path = Make(seconds=1, video="mpeg4").write(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_UNKNOWN/XYZ/A"))
    found = read(path)
    assert not found.frames
    assert found.chunks
    assert found.said("no decoder")


def test_a_file_without_any_decoder_says_so(tmp_path):
    path = Make(seconds=1, video="mpeg4", audio=None).write(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_UNKNOWN/XYZ/A"))
    with pytest.raises(RecordingError, match="no decoder"):
        open_recording(path)
