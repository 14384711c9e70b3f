import numpy as np
import pytest

from sidecar.clock import SystemClock
from sidecar.errors import RecordingError
from sidecar.sources.recording import end_s, open_recording, read_recording
from sidecar.types import AudioChunk, Modality, Permit, VideoFrame
from tests.media_files import write_recording

FACE = Permit("p", Modality.FACE)
VOICE = Permit("p", Modality.VOICE)


def units(path, fps=5.0, face=FACE, voice=VOICE):
    return list(read_recording(open_recording(path), SystemClock(), fps, face=face, voice=voice))


def test_both_streams_in_the_order_of_media_time(tmp_path):
    found = units(write_recording(tmp_path / "a.mp4", 4.0))
    ends = [end_s(unit) for unit in found]
    assert ends == sorted(ends)
    chunks = [unit for unit in found if isinstance(unit, AudioChunk)]
    frames = [unit for unit in found if isinstance(unit, VideoFrame)]
    assert len(frames) == 20
    assert 39 <= len(chunks) <= 41
    assert {len(chunk.samples) for chunk in chunks} == {1600}
    assert [chunk.media_time_s for chunk in chunks[:3]] == pytest.approx([0.0, 0.1, 0.2])


def test_sound_is_16_khz_mono_at_its_own_pitch(tmp_path):
    chunks = [unit for unit in units(write_recording(tmp_path / "a.mp4", 2.0)) if isinstance(unit, AudioChunk)]
    sound = np.concatenate([chunk.samples for chunk in chunks])[4000:20000]
    assert sound.dtype == np.float32
    peak_hz = np.argmax(np.abs(np.fft.rfft(sound))) * 16_000 / len(sound)
    assert peak_hz == pytest.approx(200, abs=2)


def test_only_what_is_permitted_is_decoded(tmp_path):
    path = write_recording(tmp_path / "a.mp4", 1.0)
    assert all(isinstance(unit, VideoFrame) for unit in units(path, voice=None))
    assert all(isinstance(unit, AudioChunk) for unit in units(path, face=None))


@pytest.mark.parametrize(("video", "audio"), [(True, False), (False, True)])
def test_one_stream_alone(tmp_path, video, audio):
    assert units(write_recording(tmp_path / "a.mp4", 1.0, video=video, audio=audio))


@pytest.mark.parametrize(("size", "shape"), [((3840, 2160), (360, 640, 3)), ((16, 16), (16, 16, 3))])
def test_pictures_of_any_size(tmp_path, size, shape):
    frames = units(write_recording(tmp_path / "a.mp4", 0.2, audio=False, size=size))
    assert frames[0].rgb.shape == shape


def test_a_truncated_file_is_read_up_to_its_end(tmp_path):
    path = write_recording(tmp_path / "a.mkv", 6.0)
    whole = len(units(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < len(units(path)) < whole


@pytest.mark.parametrize("content", [b"", b"this is no recording at all" * 100])
def test_what_is_no_recording_says_so(tmp_path, content):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"broken\.mp4") as caught:
        open_recording(path)
    assert caught.value.exit_code == 2


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(RecordingError, match="none"):
        open_recording(tmp_path / "none.mp4")
