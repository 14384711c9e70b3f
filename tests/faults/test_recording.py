"""Damaged recordings: what is broken is skipped, counted and reported, and reading goes on."""

import av
import numpy as np
import pytest
from av.error import InvalidDataError

from sidecar.clock import SystemClock
from sidecar.errors import RecordingError
from sidecar.sources.recording import open_recording, read_recording
from sidecar.sources.recording.packets import packets
from sidecar.sources.recording.report import StreamReport
from tests.sources.made import Make, encoded, tones, write_sound
from tests.sources.reading import FACE, VOICE, read

RESUMING = [
    ("ts", Make(size=(160, 120))),
    ("mkv", Make(size=(160, 120))),
    ("webm", Make(size=(160, 120), video="libvpx", audio="libopus")),
    ("flv", Make(size=(160, 120), sample_rate=44_100)),
    ("mpg", Make(size=(160, 120), video="mpeg1video", audio="mp2")),
    ("mp3", Make(video=None, audio="mp3")),
    ("aac", Make(video=None)),
    ("flac", Make(video=None, audio="flac")),
    ("ogg", Make(video=None, audio="libopus")),
    ("wav", Make(video=None, audio="pcm_s16le")),
]
"""Formats in which a reader can find its way again."""
resuming = pytest.mark.parametrize(("ending", "make"), RESUMING, ids=[each[0] for each in RESUMING])


def noise(data: bytes, share: float, seed: int) -> bytes:
    """The data with a share of its bytes replaced, but for the header."""
    rng, changed = np.random.default_rng(seed), bytearray(data)
    for at in rng.integers(len(data) // 10, len(data), max(1, round(len(data) * share))):
        changed[at] = rng.integers(256)
    return bytes(changed)


@resuming
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) * 4 // 10] + bytes(len(data) // 10) + data[len(data) // 2 :],
        lambda data: data[: len(data) // 3] + data[len(data) * 2 // 5 :],
        lambda data: data[: len(data) // 3] + np.random.default_rng(0).bytes(len(data) // 20) + data[len(data) // 3 :],
    ],
    ids=["zeros", "missing", "inserted"],
)
def test_a_damaged_part_costs_only_itself(tmp_path, ending, make, damage):
    path = make.write(tmp_path / f"a.{ending}")
    path.write_bytes(damage(path.read_bytes()))
    found = read(path)
    least_s = 3.0 if ending == "ogg" else 4.0  # Ogg is damaged by the page
    assert found.chunks[-1].end_s > 4.4
    assert sum(len(chunk.samples) for chunk in found.chunks) > least_s * 16_000
    if make.video:
        assert found.frames[-1].media_time_s > 5.0
        assert len(found.frames) >= 20


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "flv", "avi", "mpg", "mp3", "ogg", "flac", "wav"])
@pytest.mark.parametrize("share", [0.0005, 0.01])
@pytest.mark.parametrize("seed", range(4))
def test_noise_raises_nothing_but_a_plain_refusal(tmp_path, ending, share, seed):
    makes = {"mpg": Make(video="mpeg1video", audio="mp2"), "avi": Make(video="mpeg4", audio="mp3")}
    makes |= {each: make for each, make in RESUMING if make.video is None}
    make = makes.get(ending, Make(sample_rate=44_100))
    path = make.write(tmp_path / f"a.{ending}")
    path.write_bytes(noise(path.read_bytes(), share, seed))
    refusal, found = None, None
    try:
        found = read(path)
    except RecordingError as error:
        refusal = str(error)
    assert found is None or max(unit.media_time_s for unit in found.units) < 3600
    assert refusal is None or (path.name in refusal and "Errno" not in refusal)


def test_damaged_packets_are_counted_and_the_others_read(tmp_path):
    path = Make(gop=3).write(tmp_path / "a.mkv")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        broken = [packet for packet in container.demux(video=0) if packet.size][30]
        at = bytes(data).find(bytes(broken)[8:])
    data[at : at + broken.size - 8] = bytes(broken.size - 8)
    path.write_bytes(data)
    found = read(path)
    assert 29 <= len(found.frames) <= 30
    assert len(found.chunks) == 60
    assert found.said("video: 1 damaged packet skipped: invalid data")


@pytest.mark.parametrize("codec", ["mp3", "aac"])
def test_sample_rate_and_channels_that_change(tmp_path, codec):
    parts = [
        write_sound(tmp_path / f"{index}.{codec}", tones(3, rate, channels), rate, layout, codec=codec)
        for index, (rate, channels, layout) in enumerate([(48_000, 1, "mono"), (32_000, 2, "stereo")])
    ]
    path = tmp_path / f"a.{codec}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = read(path)
    assert found.chunks[-1].end_s == pytest.approx(6.0, abs=0.25)
    assert found.heard()[1] == {1}
    assert 1 in found.heard()[4]
    assert found.said("the format changes")


def test_a_picture_size_that_changes(tmp_path):
    parts = [Make(seconds=3, audio=None, size=size).write(tmp_path / f"{size[0]}.ts") for size in ((64, 48), (96, 160))]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    shapes = [frame.rgb.shape for frame in read(path).frames]
    assert shapes.count((48, 64, 3)) >= 14
    assert shapes.count((160, 96, 3)) >= 14


@pytest.mark.parametrize("ending", ["mp4", "mkv", "wav", "mp3", "ts", "jpg"])
def test_an_empty_file_says_so(tmp_path, ending):
    path = tmp_path / f"empty.{ending}"
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match=rf"empty\.{ending}") as caught:
        open_recording(path)
    assert caught.value.exit_code == 2
    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize("ending", ["wav", "mkv", "mp4", "flv"])
def test_a_header_without_content_says_so(tmp_path, ending):
    path = tmp_path / f"header.{ending}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le" if ending == "wav" else "aac", rate=48_000)
        stream.layout = "mono"
        if ending != "mp4":
            out.start_encoding()
        elif packets_ := list(encoded(stream, tones(0.1, 48_000), 48_000)):
            out.mux(packets_[0])
    if ending == "mp4":
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(RecordingError, match=rf"header\.{ending}"):
        open_recording(path)


def test_a_file_in_which_nothing_can_be_decoded_says_so(tmp_path):
    path = Make(audio=None, video="mpeg4").write(tmp_path / "a.mkv")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size and (at := bytes(data).find(bytes(packet))) >= 0:
                data[at : at + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="could be decoded") as caught:
        read(path)
    assert caught.value.exit_code == 2


def test_a_recording_removed_before_it_is_read_says_so(tmp_path):
    path = Make().write(tmp_path / "a.mkv")
    recording = open_recording(path)
    path.unlink()
    with pytest.raises(RecordingError, match="no such file"):
        list(read_recording(recording, SystemClock(), 5.0, face=FACE, voice=VOICE))


class Faulty:
    """A container that raises `error` before each packet, or always."""

    def __init__(self, error, good):
        self.error, self.good, self.calls = error, good, 0

    def demux(self, *streams):
        self.calls += 1
        if self.good:
            yield self.good.pop()
        raise self.error


class _Packet:
    size, pos = 1, 0


def test_errors_of_reading_are_tried_again_and_counted():
    container, report = Faulty(InvalidDataError(1094995529, "invalid"), [_Packet()] * 7), StreamReport("video")
    assert len(list(packets(container, [], report))) == 7
    assert report.unreadable >= 7


def test_an_endless_stream_of_errors_ends():
    container, report = Faulty(InvalidDataError(1094995529, "invalid"), []), StreamReport("video")
    assert not list(packets(container, [], report))
    assert report.gave_up
    assert container.calls < 1000


def test_an_error_of_the_disk_ends_reading_at_once():
    container, report = Faulty(av.error.OSError(5, "Input/output error"), [_Packet()]), StreamReport("video")
    assert len(list(packets(container, [], report))) == 1
    assert report.gave_up
    assert any("could not be read to its end" in sentence for sentence in report.sentences())


def test_a_chain_whose_channels_change_is_not_called_damaged(tmp_path):
    parts = [
        write_sound(tmp_path / f"{layout}.ogg", tones(3, 48_000, channels), 48_000, layout, codec="libopus")
        for layout, channels in (("mono", 1), ("stereo", 2))
    ]
    path = tmp_path / "a.ogg"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = read(path)
    assert found.chunks[-1].end_s == pytest.approx(3.0, abs=0.2)
    assert found.said("a feature that this program cannot decode")
    assert not found.said("damaged")


def test_an_animated_webp_says_what_is_missing(tmp_path):
    path = tmp_path / "a.webp"
    with av.open(str(path), "w", format="webp") as out:
        stream = out.add_stream("libwebp_anim", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(5):
            picture = np.full((48, 64, 3), 40 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    with pytest.raises(RecordingError, match="animated WebP"):
        read(path)


def test_a_single_picture_that_cannot_be_decoded_says_so(tmp_path):
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for packet in (*stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))), *stream.encode()):
            out.mux(packet)
    data = path.read_bytes()
    at = data.find(b"IDAT")
    path.write_bytes(data[: at + 4] + bytes(len(data) - at - 4))
    with pytest.raises(RecordingError, match="1 damaged packet"):
        read(path)


@pytest.mark.parametrize("ending", ["h264", "ts"])
def test_packets_that_are_dropped_without_an_error_are_reported(tmp_path, ending):
    path = Make(audio=None, size=(160, 120), gop=25, reordered=2).write(tmp_path / f"a.{ending}")
    assert not read(path).report
    data = bytearray(path.read_bytes())
    size = len(data) // 5
    data[len(data) // 2 : len(data) // 2 + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(data)
    found = read(path)
    assert len(found.frames) < 29
    assert found.report


def test_a_damaged_picture_that_is_not_due_is_reported(tmp_path):
    make = Make(audio=None, size=(160, 120), gop=250, reordered=2)
    path = make.write(tmp_path / "a.h264")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 4 // 10] + data[len(data) * 6 // 10 :])
    assert read(path).report
