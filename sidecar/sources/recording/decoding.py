"""One stream of a file as decoded frames with their media time, whatever is damaged between them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import BlockingIOError as DecoderFull
from av.error import EOFError as DecoderEnded
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from sidecar.sources.recording.display import DisplayTimes
from sidecar.sources.recording.messages import as_damage
from sidecar.sources.recording.packets import packets
from sidecar.sources.recording.report import StreamReport
from sidecar.sources.recording.timing import CLOSE_S, Stamped, Timeline

Frame = TypeVar("Frame", av.VideoFrame, av.AudioFrame)

_ONE_EACH = frozenset({"h264", "hevc"})
"""Codecs whose decoders drop damaged packets without an error. Others, such as VP8, have packets without a picture."""
_FRAME_S = 0.04
"""Where a file says no frame rate."""


class Decoder(Generic[Frame]):
    """The frames of the stream `own`.

    `decode` is that of its codec context. All `streams` are followed, so that a jump of the time stamps moves them
    together; only `own` is decoded.
    """

    def __init__(
        self,
        container: InputContainer,
        own: VideoStream | AudioStream,
        streams: Sequence[VideoStream | AudioStream],
        decode: "Callable[[Packet[Stream] | None], list[Frame]]",
        *,
        origin_s: float | None,
        report: StreamReport,
    ) -> None:
        self._container = container
        self._own = own
        self._streams = streams
        self._decode: Callable[[Packet[Stream] | None], list[Frame]] = decode
        self._report = report
        report.one_each = own.codec_context.name in _ONE_EACH
        self._tick_s = {stream.index: float(stream.time_base or 0) for stream in streams}
        self._packet_s = {stream.index: frame_s(stream) for stream in streams}
        self._reports: Mapping[int, StreamReport] = {
            stream.index: report if stream is own else StreamReport("") for stream in streams
        }
        self._display = DisplayTimes(self._tick_s[own.index], self._packet_s[own.index], report)
        self._timeline: Timeline[Packet[Stream] | None] = Timeline(self._reports, origin_s)

    def frames(self) -> Iterator[tuple[Frame, float | None]]:
        """Frames in the order of display, each with its media time; None where it follows the frame before."""
        tick_s = self._tick_s[self._own.index]
        for packet in self._shown():
            for frame in self._decoded(packet):
                pts = frame.pts
                yield frame, None if pts is None else pts * tick_s

    def _shown(self) -> "Iterator[Packet[Stream] | None]":
        """The packets of `own` with media time as their stamps; None at the end, for the frames left in the decoder."""
        if isinstance(self._own, AudioStream):
            yield from self._placed()
        else:
            for packet in self._placed():
                yield from self._display.take(packet)
            yield from self._display.flush()
        yield None

    def _placed(self) -> "Iterator[Packet[Stream]]":
        """The packets of `own`, with their stamps moved to media time."""
        own = self._own.index
        for packet in packets(self._container, self._streams, self._report):
            index = packet.stream_index
            if packet.is_discard:  # before the start by an edit list: decoded, as others refer to it, but not shown
                if index == own:
                    yield packet
                continue
            tick_s, dts = self._tick_s[index], packet.dts
            # In MP4 a hole is the duration of the packet before it: a long one must be seen as a hole.
            duration_s = min((packet.duration or 0) * tick_s or self._packet_s[index], CLOSE_S)
            shift_s = None if dts is None else self._timeline.follow(index, dts * tick_s, duration_s)
            if shift_s is not None:
                if index == own:
                    yield _restamped(packet, shift_s, tick_s)
                continue
            for placed in self._timeline.place(index, self._stamped(packet, index, duration_s)):
                if placed.item is not None:
                    yield _restamped(placed.item, placed.shift_s, tick_s)
        for placed in self._timeline.flush(own):
            if placed.item is not None:
                yield _restamped(placed.item, placed.shift_s, self._tick_s[own])

    def _stamped(self, packet: "Packet[Stream]", index: int, duration_s: float) -> "Stamped[Packet[Stream] | None]":
        stamp = packet.pts if packet.dts is None else packet.dts
        return Stamped(
            item=packet if index == self._own.index else None,
            stamp_s=None if stamp is None else stamp * self._tick_s[index],
            duration_s=duration_s,
            ordered=packet.dts is not None,
        )

    def _decoded(self, packet: "Packet[Stream] | None") -> list[Frame]:
        try:
            try:
                frames = self._decode(packet)
            except (DecoderFull, DecoderEnded):  # an earlier error left it in a state in which it takes no packets
                self._own.codec_context.flush_buffers()
                frames = self._decode(packet)
        except FFmpegError as error:
            if packet is not None or not self._report.decoded:
                self._report.undecodable[as_damage(error)] += 1
            return []
        self._report.decoded += len(frames)
        self._report.sent += packet is not None and not packet.is_discard
        return frames


def frame_s(stream: VideoStream | AudioStream) -> float:
    """Seconds of one packet of a stream, for packets that do not say; 0 for sound."""
    if isinstance(stream, AudioStream):
        return 0.0
    rate = float(stream.guessed_rate or stream.average_rate or 0)
    return 1 / rate if 0.05 <= rate <= 1000 else _FRAME_S


def _restamped(packet: "Packet[Stream]", shift_s: float | None, tick_s: float) -> "Packet[Stream]":
    """The packet with media time as its stamps, in ticks; without stamps if `shift_s` is None."""
    pts, dts = packet.pts, packet.dts
    if shift_s is None:
        packet.pts = packet.dts = None
        return packet
    ticks = round(shift_s / tick_s) if shift_s and tick_s else 0
    if ticks and pts is not None:
        packet.pts = pts + ticks
    if ticks and dts is not None:
        packet.dts = dts + ticks
    return packet
