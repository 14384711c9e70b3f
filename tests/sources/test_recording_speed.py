"""Reading costs no more than PyAV's plain decoding with the same scaling and resampling, by CPU time."""

import statistics
import time
from pathlib import Path

import av
import pytest

from sidecar.clock import SystemClock
from sidecar.sources.recording import open_recording, read_recording
from tests.sources.made import Make
from tests.sources.reading import FACE, VOICE

_FPS = 5.0
_MOST = 1.5
"""The measured ratio is 1.0 with video and 1.2 to 1.3 for sound alone, which costs 2 ms a second of sound."""


def looped(source: Path, path: Path, seconds: float) -> Path:
    """The packets of a file, again and again."""
    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        outputs = {stream.index: out.add_stream_from_template(stream) for stream in container.streams}
        duration_s = container.duration / av.time_base
        bodies = [
            (bytes(packet), packet.stream_index, packet.pts, packet.dts, packet.time_base)
            for packet in container.demux()
            if packet.size and packet.dts is not None and packet.dts >= 0
        ]
        for turn in range(round(seconds / duration_s)):
            for body, index, pts, dts, time_base in bodies:
                packet = av.Packet(body)
                shift = round(turn * duration_s / time_base)
                packet.stream, packet.time_base = outputs[index], time_base
                packet.pts, packet.dts = pts + shift, dts + shift
                out.mux(packet)
    return path


def plainly(path: Path, video: bool, audio: bool) -> None:
    """The frames and samples of both streams, one after the other."""
    if video:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            next_s = 0.0
            for frame in container.decode(video=0):
                if frame.time >= next_s:
                    next_s += 1 / _FPS
                    frame.to_ndarray(format="rgb24", width=min(frame.width, 640), height=min(frame.height, 360))
    if audio:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
        with av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    piece.to_ndarray()


def ours(path: Path, video: bool, audio: bool) -> None:
    for _ in read_recording(
        open_recording(path), SystemClock(), _FPS, face=FACE if video else None, voice=VOICE if audio else None
    ):
        pass


def cpu_s(work, *args) -> float:
    before_s = time.process_time()
    work(*args)
    return time.process_time() - before_s


@pytest.mark.parametrize(("video", "audio"), [(True, True), (True, False), (False, True)])
def test_two_minutes(tmp_path, video, audio):
    source = Make(seconds=10, size=(640, 360), layout="stereo").write(tmp_path / "short.mkv")
    path = looped(source, tmp_path / "long.mkv", 120)
    times = [(cpu_s(ours, path, video, audio), cpu_s(plainly, path, video, audio)) for _ in range(5)]
    assert statistics.median(mine / plain for mine, plain in times) < _MOST, times
