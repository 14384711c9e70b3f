"""Recordings made on the spot in which each second can be told apart: by grey level and by pitch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Restamp = Callable[[str, float], float | None]
"""From the stream's kind and the time of a packet to another time, or None to leave the packet out."""


def grey(second: float) -> int:
    """Level of the picture during a second."""
    return 20 + 12 * (int(second) % 19)


def pitch_hz(second: float) -> int:
    """Frequency of the tone during a second."""
    return 300 + 100 * (int(second) % 19)


@dataclass(frozen=True)
class Make:
    """A recording to be made."""

    seconds: float = 6.0
    video: str | None = "libx264"
    audio: str | None = "aac"
    rate: int = 25
    size: tuple[int, int] = (64, 48)
    sample_rate: int = 48_000
    layout: str = "mono"
    sample_format: str | None = None
    pixel_format: str = "yuv420p"
    container: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    gop: int = 12
    reordered: int = 0
    """Pictures in a row that are decoded after a later one (B-frames of H.264)."""

    def write(self, path: Path, restamp: Restamp | None = None) -> Path:
        """Write the file; `restamp` changes the time of packets."""
        with av.open(str(path), "w", format=self.container, container_options=dict(self.options)) as out:
            encoders: list[tuple[str, Iterator[av.Packet]]] = []
            if self.video:
                encoders.append(("video", self._pictures(out)))
            if self.audio:
                encoders.append(("audio", self._tones(out)))
            made = [(kind, packet) for kind, encoder in encoders for packet in encoder]
            packets = [packet for kind, packet in made if self._restamp(kind, packet, restamp)]
            packets.sort(key=lambda packet: float(packet.dts * packet.time_base))
            for packet in packets:
                out.mux(packet)
        return path

    @staticmethod
    def _restamp(kind: str, packet: av.Packet, restamp: Restamp | None) -> bool:
        if restamp is None:
            return True
        at_s = float(packet.pts * packet.time_base)
        to_s = restamp(kind, at_s)
        if to_s is None:
            return False
        shift = round((to_s - at_s) / packet.time_base)
        packet.pts += shift
        packet.dts += shift
        return True

    def _pictures(self, out):
        options = {"preset": "ultrafast"} if self.video == "libx264" else {}
        if self.reordered:
            options |= {"bf": str(self.reordered), "x264-params": "b-adapt=0:scenecut=0"}
        stream = out.add_stream(self.video, rate=self.rate, options=options)
        stream.width, stream.height = self.size
        stream.pix_fmt = self.pixel_format
        stream.codec_context.gop_size = self.gop
        for index in range(round(self.seconds * self.rate)):
            picture = np.full((self.size[1], self.size[0], 3), grey(index / self.rate), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=self.pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, self.rate)
            yield from stream.encode(frame)
        yield from stream.encode()

    def _tones(self, out):
        stream = out.add_stream(self.audio, rate=self.sample_rate)
        stream.layout = self.layout
        if self.sample_format:
            stream.format = self.sample_format
        yield from encoded(stream, tones(self.seconds, self.sample_rate, stream.layout.nb_channels), self.sample_rate)


def tones(seconds: float, rate_hz: int, channels: int = 1) -> np.ndarray:
    """(channels, samples) float32."""
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = (0.3 * np.sin(2 * np.pi * (300 + 100 * (np.floor(at_s) % 19)) * at_s)).astype(np.float32)
    return np.repeat(tone[None], channels, axis=0)


def encoded(stream, sound: np.ndarray, rate_hz: int, step: int = 1024):
    """Packets of sound (channels, samples) float32."""
    for start in range(0, sound.shape[1], step):
        part = np.ascontiguousarray(sound[:, start : start + step].T.reshape(1, -1))  # PyAV cannot fill eight planes
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        yield from stream.encode(frame)
    yield from stream.encode()


def write_sound(
    path: Path, sound: np.ndarray, rate_hz: int, layout: str, *, codec: str = "flac", sample_format=None
) -> Path:
    """A file with one track of sound (channels, samples) float32."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate_hz)
        stream.layout = layout
        if sample_format:
            stream.format = sample_format
        for packet in encoded(stream, sound, rate_hz):
            out.mux(packet)
    return path


def flv_tags(data: bytes) -> list[tuple[int, int, bytes]]:
    """Kind (8 audio, 9 video, 18 script), time in ms and body of each tag of an FLV file."""
    tags, at = [], 13
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        time_ms = int.from_bytes(data[at + 7 : at + 8] + data[at + 4 : at + 7], "big")
        tags.append((data[at], time_ms, data[at + 11 : at + 11 + size]))
        at += 11 + size + 4
    return tags


def flv(tags: list[tuple[int, int, bytes]], header: bytes) -> bytes:
    """An FLV file of tags behind the first 13 bytes of another."""
    parts = [header]
    for kind, time_ms, body in tags:
        stamp = (time_ms & 0xFFFFFFFF).to_bytes(4, "big")
        head = bytes([kind]) + len(body).to_bytes(3, "big") + stamp[1:] + stamp[:1] + b"\0\0\0"
        parts.append(head + body + (len(head) + len(body)).to_bytes(4, "big"))
    return b"".join(parts)
