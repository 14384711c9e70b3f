"""Small recordings made on the spot."""

from pathlib import Path

import av
import numpy as np

RATE_HZ = 48_000


def write_recording(
    path: Path, seconds: float, *, video: bool = True, audio: bool = True, size: tuple[int, int] = (64, 48)
) -> Path:
    """A moving grey picture at 25 fps and a 200 Hz tone."""
    with av.open(str(path), "w") as container:
        if video:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if audio:
            sound = container.add_stream("aac", rate=RATE_HZ)
            sound.layout = "mono"
        for index in range(round(seconds * 25)):
            if video:
                picture = np.full((size[1], size[0], 3), index % 256, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if audio:
                count = RATE_HZ // 25
                at = (np.arange(count) + index * count) / RATE_HZ
                tone = (0.3 * np.sin(2 * np.pi * 200 * at)).astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                frame.sample_rate = RATE_HZ
                container.mux(sound.encode(frame))
        if video:
            container.mux(stream.encode())
        if audio:
            container.mux(sound.encode())
    return path
