"""A small clip whose content a test can recognise after any codec."""

from pathlib import Path

import av
import numpy as np

TONE_HZ = 440
LEFT_RGB = (200, 40, 40)
RIGHT_RGB = (40, 40, 200)


def write_clip(path: Path, seconds: float = 2.0) -> Path:
    """A 640x360 video of 15 fps, red left and blue right, with a tone of 440 Hz."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=15, bit_rate=500_000)
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        audio = container.add_stream("aac", rate=48_000, layout="mono")
        picture = np.empty((360, 640, 3), np.uint8)
        picture[:, :320], picture[:, 320:] = LEFT_RGB, RIGHT_RGB
        for _ in range(int(seconds * 15)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        times = np.arange(int(seconds * 48_000)) / 48_000
        tone = (0.3 * np.sin(2 * np.pi * TONE_HZ * times)).astype(np.float32)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts = 48_000, start
            container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path
