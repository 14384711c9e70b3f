"""LiveKit's frames as RGB: colours, orientation, size."""

import numpy as np
import pytest
from livekit import rtc

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
