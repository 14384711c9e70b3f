"""The LiveKit source receives what a real browser publishes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.types import (
    Modality,
    ParticipantChanged,
    ParticipantKind,
    ParticipantLeft,
    Permit,
    TrackChanged,
    TrackSource,
)
from tests.browser.chromium import Browser, browser_participant
from tests.fakes.clip import LEFT_RGB, RIGHT_RGB, TONE_HZ, write_clip
from tests.integration.observation import WITHIN_S, Observation, assert_continuous, low_frames, observing

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ROOM = "browser"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    media = write_clip(folder / "clip.mkv")
    async with browser_participant(livekit_server, ROOM, "eva", media=media, folder=folder) as participant:
        yield participant


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(livekit_server: LiveKitServer, browser: Browser) -> AsyncIterator[Observation]:
    async with observing(livekit_server, ROOM) as observation:
        yield observation


async def test_consent_set_by_the_page_arrives(room: Observation, browser: Browser) -> None:
    before = await room.seen(ParticipantChanged)
    assert (before.participant.kind, before.participant.attributes) == (ParticipantKind.STANDARD, {})
    browser.tell("consent face,voice")
    given = await room.seen(ParticipantChanged, lambda event: bool(event.participant.attributes))
    assert given.participant.attributes == {"engagement.consent": "face,voice"}


async def test_its_camera_is_seen_on_the_low_layer(room: Observation) -> None:
    async with room.call.open_video(await room.track("eva", TrackSource.CAMERA), Permit("eva", Modality.FACE)) as tap:
        frames = await low_frames(tap, 8)
    newest = frames[-1].rgb
    rate = (len(frames) - 1) / (frames[-1].media_time_s - frames[0].media_time_s)
    assert rate < 6.0
    np.testing.assert_allclose(newest[60:120, 20:140].mean((0, 1)), LEFT_RGB, atol=35)
    np.testing.assert_allclose(newest[60:120, 180:300].mean((0, 1)), RIGHT_RGB, atol=35)


async def test_its_microphone_is_heard(room: Observation) -> None:
    microphone = await room.track("eva", TrackSource.MICROPHONE)
    async with room.call.open_audio(microphone, Permit("eva", Modality.VOICE)) as tap:
        async with asyncio.timeout(WITHIN_S):
            chunks = [await anext(tap) for _ in range(20)]
    assert_continuous(chunks)
    sound = np.concatenate([chunk.samples for chunk in chunks[-10:]])
    assert np.abs(np.fft.rfft(sound)).argmax() == pytest.approx(TONE_HZ, abs=5)


async def test_its_camera_goes_off_and_on(room: Observation, browser: Browser) -> None:
    for state, muted in (("off", True), ("on", False)):
        since = len(room.events)
        browser.tell(f"camera {state}")
        changed = await room.seen(TrackChanged, lambda event: event.track.source is TrackSource.CAMERA, since)
        assert changed.track.muted is muted


async def test_the_page_cannot_see_the_observer(room: Observation, browser: Browser) -> None:
    browser.tell("others")
    assert await browser.report() == "others "


async def test_it_leaves(room: Observation, browser: Browser) -> None:
    browser.tell("leave")
    assert (await room.seen(ParticipantLeft)).identity == "eva"


@pytest.mark.parametrize("codec", ["vp9", "av1", "h264"])
async def test_a_camera_of_another_codec_is_seen_on_every_layer(
    livekit_server: LiveKitServer, tmp_path: Path, codec: str
) -> None:
    """A browser sends VP9 and AV1 as layers of one stream (SVC), not as several streams."""
    media = write_clip(tmp_path / "clip.mkv")
    room_name = f"browser {codec}"
    async with (
        browser_participant(livekit_server, room_name, "eva", media=media, folder=tmp_path, codec=codec),
        observing(livekit_server, room_name) as room,
    ):
        camera = await room.track("eva", TrackSource.CAMERA)
        publication = room.call._room.remote_participants["eva"].track_publications[camera.sid]
        assert publication.mime_type.lower() == f"video/{codec}"
        async with room.call.open_video(camera, Permit("eva", Modality.FACE)) as tap:
            newest = (await low_frames(tap, 3))[-1].rgb
            np.testing.assert_allclose(newest[60:120, 20:140].mean((0, 1)), LEFT_RGB, atol=35)
            async with asyncio.timeout(WITHIN_S):
                async for frame in tap:
                    tap.prefer(20.0)  # a face too small for the low layer
                    if frame.rgb.shape[0] > 180:
                        break
