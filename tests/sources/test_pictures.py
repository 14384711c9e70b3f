"""LiveKit's frames as RGB: colours, orientation, size."""

import numpy as np
import pytest
from livekit import rtc
from livekit.rtc.video_frame import _get_plane_length

from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit.pictures import LARGEST_PX, upright_rgb


def i420(rgb: np.ndarray) -> rtc.VideoFrame:
    height, width, _ = rgb.shape
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, rgb.tobytes()).convert(rtc.VideoBufferType.I420)


def quarters(height: int, width: int) -> np.ndarray:
    """Red, green over blue, white."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2] = (220, 20, 20)
    rgb[: height // 2, width // 2 :] = (20, 220, 20)
    rgb[height // 2 :, : width // 2] = (20, 20, 220)
    rgb[height // 2 :, width // 2 :] = (220, 220, 220)
    return rgb


@pytest.mark.parametrize(
    ("rotation", "turns"),
    [
        (rtc.VideoRotation.VIDEO_ROTATION_0, 0),
        (rtc.VideoRotation.VIDEO_ROTATION_90, 1),
        (rtc.VideoRotation.VIDEO_ROTATION_180, 2),
        (rtc.VideoRotation.VIDEO_ROTATION_270, 3),
    ],
)
def test_a_turned_frame_is_turned_back_clockwise(rotation: int, turns: int) -> None:
    upright = quarters(180, 320)
    sent = np.ascontiguousarray(np.rot90(upright, turns))  # counter-clockwise
    received = upright_rgb(i420(sent), rotation)
    assert received.shape == (180, 320, 3)
    assert received.flags.c_contiguous
    for y, x in ((40, 80), (40, 240), (140, 80), (140, 240)):
        np.testing.assert_allclose(received[y, x].astype(int), upright[y, x].astype(int), atol=12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (2160, 3840), (721, 1283), (1283, 721)])
def test_any_size_comes_out_whole_and_bounded(height: int, width: int) -> None:
    received = upright_rgb(i420(quarters(height, width)), rtc.VideoRotation.VIDEO_ROTATION_0)
    assert max(received.shape[:2]) <= LARGEST_PX
    assert received.shape[0] / received.shape[1] == pytest.approx(height / width, rel=0.02)
    if width > 5:
        y, x = received.shape[0] // 4, received.shape[1] // 4
        np.testing.assert_allclose(received[y, 3 * x].astype(int), (20, 220, 20), atol=12)
        np.testing.assert_allclose(received[3 * y, x].astype(int), (20, 20, 220), atol=12)


def ten_bit(frame: rtc.VideoFrame) -> rtc.VideoFrame:
    samples = np.frombuffer(frame.data, np.uint8).astype("<u2") << 2
    return rtc.VideoFrame(frame.width, frame.height, rtc.VideoBufferType.I010, samples.tobytes())


def full_chroma(frame: rtc.VideoFrame) -> rtc.VideoFrame:
    planes = np.frombuffer(frame.data, np.uint8)
    luma_size = frame.width * frame.height
    chroma = planes[luma_size:].reshape(2, frame.height // 2, frame.width // 2).repeat(2, axis=1).repeat(2, axis=2)
    data = np.concatenate([planes[:luma_size], chroma.ravel()]).tobytes()
    return rtc.VideoFrame(frame.width, frame.height, rtc.VideoBufferType.I444, data)


def interleaved(frame: rtc.VideoFrame) -> rtc.VideoFrame:
    planes = np.frombuffer(frame.data, np.uint8)
    luma_size = frame.width * frame.height
    data = np.concatenate([planes[:luma_size], planes[luma_size:].reshape(2, -1).T.ravel()]).tobytes()
    return rtc.VideoFrame(frame.width, frame.height, rtc.VideoBufferType.NV12, data)


@pytest.mark.parametrize("format_of", [ten_bit, full_chroma, interleaved])
def test_whatever_a_decoder_delivers_has_the_same_colours(format_of) -> None:
    frame = i420(quarters(180, 320))
    expected = upright_rgb(frame, rtc.VideoRotation.VIDEO_ROTATION_0)
    received = upright_rgb(format_of(frame), rtc.VideoRotation.VIDEO_ROTATION_0)
    np.testing.assert_allclose(received.astype(int), expected.astype(int), atol=2)


@pytest.mark.parametrize("size", [(0, 0), (0, 64), (64, 0)])
def test_a_frame_of_no_size_is_refused_before_it_can_abort_the_process(size: tuple[int, int]) -> None:
    with pytest.raises(TrackUnavailable, match="cannot be converted"):
        upright_rgb(rtc.VideoFrame(*size, rtc.VideoBufferType.I420, b""), rtc.VideoRotation.VIDEO_ROTATION_0)


@pytest.mark.parametrize("kind", [rtc.VideoBufferType.I420, rtc.VideoBufferType.I010, rtc.VideoBufferType.I444])
def test_a_frame_with_too_little_data_is_refused(kind: int) -> None:
    data = bytes(_get_plane_length(kind, 64, 48) - 1)
    with pytest.raises(TrackUnavailable, match="64x48"):
        upright_rgb(rtc.VideoFrame(64, 48, kind, data), rtc.VideoRotation.VIDEO_ROTATION_0)


def test_formats_that_no_camera_has_are_refused() -> None:
    with pytest.raises(TrackUnavailable, match="cannot be converted"):
        upright_rgb(
            rtc.VideoFrame(64, 48, rtc.VideoBufferType.ABGR, bytes(64 * 48 * 4)), rtc.VideoRotation.VIDEO_ROTATION_0
        )
