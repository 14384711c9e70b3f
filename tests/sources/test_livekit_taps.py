"""Taps fed with the SDK's frames: unreadable ones are skipped, the end of the permit ends the tap, layers are asked."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from sidecar.clock import SystemClock
from sidecar.errors import TrackUnavailable
from sidecar.sources.livekit import pictures
from sidecar.sources.livekit.layers import VideoQuality
from sidecar.sources.livekit.mapping import QUALITIES
from sidecar.sources.livekit.taps import AudioTap, TapContext, VideoTap
from sidecar.telemetry import Telemetry
from sidecar.types import Modality, Permit

NO_FRAME = rtc.VideoFrame(0, 0, rtc.VideoBufferType.I420, b"")
CUT_FRAME = rtc.VideoFrame(64, 48, rtc.VideoBufferType.I420, b"half a fr")


class FakePublication:
    def __init__(self, simulcasted: bool = True) -> None:
        self.sid = "TR_1"
        self.muted = False
        self.simulcasted = simulcasted
        self.asked: list[int] = []
        self.broken = False

    def set_video_quality(self, quality: int) -> None:
        assert not self.broken, "what the SDK does when its native part does not answer"
        if not self.simulcasted:
            raise ValueError("set_video_quality requires a simulcasted publication")
        self.asked.append(quality)


class Rig:
    def __init__(self, modality: Modality, publication: FakePublication | None = None) -> None:
        self.telemetry = Telemetry()
        self.permit = Permit("ann", modality)
        self.publication = publication or FakePublication()
        self.clock = SystemClock()
        self.context: Any = TapContext(
            self.publication, self.permit, self.clock, self.clock.monotonic() - 10.0, self.telemetry
        )

    def dropped(self, stage: str, reason: str) -> float:
        labels = {"stage": stage, "reason": reason}
        return self.telemetry.registry.get_sample_value("sidecar_dropped_total", labels) or 0.0


def picture(width: int = 64, height: int = 48) -> rtc.VideoFrame:
    size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, bytes([128]) * size)


def sound(samples: int = 1600) -> Any:
    return SimpleNamespace(frame=rtc.AudioFrame(np.full(samples, 100, np.int16).tobytes(), 16_000, 1, samples))


async def frames_of(rig: Rig, frames: Iterable[Any]) -> AsyncGenerator[Any, None]:
    """Frames 0.25 s apart by their stamps, each with time for the consumer."""
    for n, frame in enumerate(frames):
        stamp_us = int((rig.clock.monotonic() - 5.0 + n / 4) * 1e6)
        yield rtc.VideoFrameEvent(frame=frame, timestamp_us=stamp_us, rotation=rtc.VideoRotation.VIDEO_ROTATION_0)
        for _ in range(3):
            await asyncio.sleep(0)


async def taken(tap: Any, flow: AsyncGenerator[Any, None]) -> tuple[list[Any], BaseException | None]:
    """Everything that a tap delivers, and the error that its capture ended with."""
    capture = asyncio.create_task(tap.take(flow))
    units = [unit async for unit in tap]
    await asyncio.wait((capture,))
    return units, capture.exception()


async def test_frames_that_cannot_be_converted_are_skipped_and_counted() -> None:
    rig = Rig(Modality.FACE)
    frames, error = await taken(
        VideoTap(rig.context, 5.0), frames_of(rig, [picture(), NO_FRAME, CUT_FRAME, picture(), NO_FRAME, picture(3, 5)])
    )
    assert [frame.rgb.shape for frame in frames] == [(48, 64, 3), (48, 64, 3), (5, 3, 3)]
    assert error is None
    assert rig.dropped("video_tap", "unreadable") == 3


async def test_a_camera_of_which_nothing_can_be_converted_is_given_up() -> None:
    rig = Rig(Modality.FACE)
    tap = VideoTap(rig.context, 5.0)
    capture = asyncio.create_task(tap.take(frames_of(rig, [NO_FRAME] * 100)))
    with pytest.raises(TrackUnavailable, match="nothing that can be read"):
        async with asyncio.timeout(5):
            await anext(tap)
    capture.cancel()
    await asyncio.wait((capture,))
    assert rig.dropped("video_tap", "unreadable") == 25


@pytest.mark.parametrize(("size", "in_thread"), [((320, 180), False), ((180, 320), False), ((1280, 720), True)])
async def test_large_frames_are_converted_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], in_thread: bool
) -> None:
    threads = []
    convert = pictures.upright_rgb

    def watched(frame: rtc.VideoFrame, rotation: int) -> Any:
        threads.append(threading.current_thread())
        return convert(frame, rotation)

    monkeypatch.setattr(pictures, "upright_rgb", watched)
    rig = Rig(Modality.FACE)
    frames, _ = await taken(VideoTap(rig.context, 5.0), frames_of(rig, [picture(*size)]))
    assert frames[0].rgb.shape == (size[1], size[0], 3)
    assert (threading.main_thread() not in threads) is in_thread


async def test_a_frame_whose_consent_ends_while_it_is_converted_is_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(Modality.FACE)
    convert = pictures.upright_rgb

    def slow(frame: rtc.VideoFrame, rotation: int) -> Any:
        rig.permit.revoke()
        return convert(frame, rotation)

    monkeypatch.setattr(pictures, "upright_rgb", slow)
    frames, _ = await taken(VideoTap(rig.context, 5.0), frames_of(rig, [picture(1280, 720)]))
    assert frames == []
    assert rig.dropped("video_tap", "revoked") == 1


async def test_chunks_that_are_no_samples_are_skipped_and_counted() -> None:
    rig = Rig(Modality.VOICE)
    odd = SimpleNamespace(frame=SimpleNamespace(data=b"odd", samples_per_channel=1))

    async def flow() -> AsyncGenerator[Any, None]:
        for event in (sound(), odd, sound(0), sound(), odd, sound(1)):
            yield event

    chunks, error = await taken(AudioTap(rig.context), flow())
    assert [len(chunk.samples) for chunk in chunks] == [1600, 1600, 1]
    assert error is None
    assert (rig.dropped("audio_tap", "unreadable"), rig.dropped("audio_tap", "empty")) == (2, 1)


async def test_a_microphone_that_delivers_no_samples_at_all_is_given_up() -> None:
    rig = Rig(Modality.VOICE)
    odd = SimpleNamespace(frame=SimpleNamespace(data=b"odd", samples_per_channel=1))

    async def flow() -> AsyncGenerator[Any, None]:
        while True:
            yield odd

    async with asyncio.timeout(5):
        chunks, error = await taken(AudioTap(rig.context), flow())
    assert chunks == []
    assert isinstance(error, TrackUnavailable)


async def test_a_consumer_that_is_slow_gets_the_newest_sound_and_the_rest_is_counted() -> None:
    rig = Rig(Modality.VOICE)

    async def flow() -> AsyncGenerator[Any, None]:
        for _ in range(50):
            yield sound()

    tap = AudioTap(rig.context)
    await tap.take(flow())
    assert len([chunk async for chunk in tap]) == 20
    assert rig.dropped("audio_tap", "queue_full") == 30


def test_the_lowest_layer_comes_first_and_a_lost_face_asks_for_nothing() -> None:
    rig = Rig(Modality.FACE)
    tap = VideoTap(rig.context, 5.0)
    tap.begin()
    for _ in range(100):
        tap.prefer(None)
    assert rig.publication.asked == [QUALITIES[VideoQuality.LOW]]
    for _ in range(5):
        tap.prefer(30.0)
    assert rig.publication.asked == [QUALITIES[VideoQuality.LOW], QUALITIES[VideoQuality.MEDIUM]]


@pytest.mark.parametrize("simulcasted", [True, False])
def test_a_publication_without_layers_or_already_gone_is_left_alone(simulcasted: bool) -> None:
    publication = FakePublication(simulcasted)
    publication.broken = simulcasted
    tap = VideoTap(Rig(Modality.FACE, publication).context, 5.0)
    tap.begin()
    for _ in range(20):
        tap.prefer(20.0)
    assert publication.asked == []
