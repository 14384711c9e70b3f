"""The LiveKit source in calls that are harder: codecs, portrait, republished tracks, rejoins, many silent viewers."""

import asyncio
import time

import pytest
from livekit import api, rtc

from sidecar.consent.gate import CONSENT_ATTRIBUTE
from sidecar.dispatch.livekit_server import OBSERVER_IDENTITY, LiveKitServer
from sidecar.errors import TrackUnavailable, Unavailable
from sidecar.sources.livekit import LiveKitOptions, call
from sidecar.types import (
    CallEnded,
    Modality,
    ParticipantChanged,
    ParticipantLeft,
    Permit,
    Track,
    TrackChanged,
    TrackEnded,
    TrackSource,
    VideoFrame,
)
from tests.integration.camera import LEFT_LUMA, RIGHT_LUMA, CameraOptions, camera, join
from tests.integration.observation import WITHIN_S, Observation, observing

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def frames(tap, count: int) -> list[VideoFrame]:
    taken = []
    async with asyncio.timeout(WITHIN_S):
        async for frame in tap:
            taken.append(frame)
            if len(taken) == count:
                break
    return taken


async def open_camera(room: Observation, identity: str, count: int = 3) -> list[VideoFrame]:
    track = await room.track(identity, TrackSource.CAMERA)
    async with room.call.open_video(track, Permit(identity, Modality.FACE)) as tap:
        return await frames(tap, count)


async def open_until_it_delivers(room: Observation, identity: str) -> list[VideoFrame]:
    """As a session does: a tap that ends although its track is published is opened again."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await open_camera(room, identity)
            except TrackUnavailable:
                await asyncio.sleep(0.5)


@pytest.mark.parametrize("codec", ["VP8", "VP9", "AV1", "H264"])
async def test_every_codec_of_the_sdk_is_read(livekit_server: LiveKitServer, codec: str) -> None:
    room_name = f"codec {codec}"
    async with camera(livekit_server, room_name, "ann") as ann, observing(livekit_server, room_name) as room:
        await ann.publish(CameraOptions(codec=rtc.VideoCodec.Value(codec)))
        frame = (await open_camera(room, "ann"))[-1]
    height, width, _ = frame.rgb.shape
    assert width / height == pytest.approx(640 / 360, rel=0.02)
    left, right = frame.rgb[height // 2, [width // 4, 3 * width // 4]].mean(axis=1)
    assert right - left > (RIGHT_LUMA - LEFT_LUMA) / 2


@pytest.mark.parametrize("simulcast", [True, False])
async def test_a_portrait_camera_stays_upright_with_and_without_layers(
    livekit_server: LiveKitServer, simulcast: bool
) -> None:
    room_name = f"portrait {simulcast}"
    async with camera(livekit_server, room_name, "ann") as ann, observing(livekit_server, room_name) as room:
        await ann.publish(CameraOptions(width=360, height=640, simulcast=simulcast))
        track = await room.track("ann", TrackSource.CAMERA)
        async with room.call.open_video(track, Permit("ann", Modality.FACE)) as tap:
            for _ in range(12):
                (frame,) = await frames(tap, 1)
                tap.prefer(20.0)  # asks for higher layers, where there are any
    height, width, _ = frame.rgb.shape
    assert height > width
    assert frame.rgb[height // 2, width // 4].mean() < frame.rgb[height // 2, 3 * width // 4].mean()


async def test_a_republished_camera_has_a_new_sid_and_is_read_again(livekit_server: LiveKitServer) -> None:
    seen: list[str] = []
    async with camera(livekit_server, "republished", "ann") as ann, observing(livekit_server, "republished") as room:
        for _ in range(3):
            since = len(room.events)
            await ann.publish()
            track = (await room.seen(TrackChanged, since=since)).track
            async with room.call.open_video(track, Permit("ann", Modality.FACE)) as tap:
                await frames(tap, 2)
                await ann.unpublish()
                assert len(await frames(tap, 100)) < 100, "the tap ends with its track"
            await room.seen(TrackEnded, lambda event, sid=track.sid: event.track.sid == sid)
            seen.append(track.sid)
    assert len(set(seen)) == 3


async def test_fast_rejoins_end_in_the_last_session(livekit_server: LiveKitServer) -> None:
    async with observing(livekit_server, "rejoins") as room:
        for n in range(5):
            visit = await join(livekit_server, "rejoins", "ann", consent=("face" if n % 2 else "voice"))
            await visit.disconnect()
        async with camera(livekit_server, "rejoins", "ann") as ann:
            await ann.room.local_participant.set_attributes({CONSENT_ATTRIBUTE: "face"})
            await ann.publish()
            assert len(await open_camera(room, "ann")) == 3
        async with asyncio.timeout(WITHIN_S):
            while not isinstance(room.events[-1], ParticipantLeft):
                await asyncio.sleep(0.05)
    about_ann = [event for event in room.events if isinstance(event, ParticipantChanged | ParticipantLeft)]
    present = False
    for event in about_ann:
        assert present or not isinstance(event, ParticipantLeft), "each departure follows an arrival"
        present = isinstance(event, ParticipantChanged)
    assert not present


async def test_an_identity_that_joins_twice_is_one_person(livekit_server: LiveKitServer) -> None:
    """The second join ends the first: the SDK reports the end and the beginning within milliseconds."""
    async with observing(livekit_server, "twice") as room, camera(livekit_server, "twice", "ann") as first:
        await first.publish()
        await open_camera(room, "ann")
        async with camera(livekit_server, "twice", "ann") as second:
            since = len(room.events)
            await second.publish()
            await room.seen(TrackChanged, since=since)
            assert len(await open_camera(room, "ann")) == 3
        assert not [event for event in room.events if isinstance(event, CallEnded)]


async def test_consent_that_flaps_arrives_in_order_and_ends_in_its_last_state(livekit_server: LiveKitServer) -> None:
    async with observing(livekit_server, "flapping") as room:
        ann = await join(livekit_server, "flapping", "ann")
        for n in range(20):
            await ann.local_participant.set_attributes({CONSENT_ATTRIBUTE: "face" if n % 2 == 0 else ""})
            await asyncio.sleep(0.1)
        await ann.local_participant.set_attributes({CONSENT_ATTRIBUTE: "voice"})

        def consent(event: ParticipantChanged) -> str:
            return event.participant.attributes.get(CONSENT_ATTRIBUTE, "")

        await room.seen(ParticipantChanged, lambda event: consent(event) == "voice")
        states = [consent(event) for event in room.events if isinstance(event, ParticipantChanged)]
        await ann.disconnect()
    before_the_first = states.index("face")
    assert states[before_the_first:] == [*["face", ""] * 10, "voice"]


async def test_fifty_silent_viewers_cost_their_events_and_no_packet(livekit_server: LiveKitServer) -> None:
    viewers = await asyncio.gather(*(join(livekit_server, "viewers", f"viewer {n}") for n in range(25)))
    async with observing(livekit_server, "viewers") as room:
        more = await asyncio.gather(*(join(livekit_server, "viewers", f"late viewer {n}") for n in range(25)))
        everyone = {viewer.local_participant.identity for viewer in (*viewers, *more)}
        async with asyncio.timeout(WITHIN_S):
            while {event.participant.identity for event in room.events if isinstance(event, ParticipantChanged)} != (
                everyone
            ):
                await asyncio.sleep(0.05)
        await asyncio.gather(*(viewer.disconnect() for viewer in more))
        async with asyncio.timeout(WITHIN_S):
            while sum(isinstance(event, ParticipantLeft) for event in room.events) < 25:
                await asyncio.sleep(0.05)
        assert room.received("frames") == room.received("samples") == 0
        assert not [event for event in room.events if isinstance(event, CallEnded)]
    await asyncio.gather(*(viewer.disconnect() for viewer in viewers))


async def test_a_subscription_that_the_server_ended_is_given_up_and_asked_for_again(
    livekit_server: LiveKitServer,
) -> None:
    options = LiveKitOptions(track_timeout_s=2.0)
    async with camera(livekit_server, "ended", "ann") as ann, observing(livekit_server, "ended", options) as room:
        await ann.publish()
        track = await room.track("ann", TrackSource.CAMERA)

        async def watch() -> None:
            async with room.call.open_video(track, Permit("ann", Modality.FACE)) as tap:
                await frames(tap, 2)
                await unsubscribe(livekit_server, "ended", track)
                await frames(tap, 1000)

        with pytest.raises(TrackUnavailable, match="delivered nothing"):
            await watch()
        assert len(await open_camera(room, "ann")) == 3


async def unsubscribe(server: LiveKitServer, room: str, track: Track) -> None:
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client:
        await client.room.update_subscriptions(
            api.UpdateSubscriptionsRequest(
                room=room, identity=OBSERVER_IDENTITY, track_sids=[track.sid], subscribe=False
            )
        )


async def test_revocation_stops_the_packets_at_once(livekit_server: LiveKitServer) -> None:
    async with camera(livekit_server, "revoked", "ann") as ann, observing(livekit_server, "revoked") as room:
        await ann.publish()
        track = await room.track("ann", TrackSource.CAMERA)
        async with room.call.open_video(track, Permit("ann", Modality.FACE)) as tap:
            await frames(tap, 2)
            left_s = time.perf_counter()
        assert time.perf_counter() - left_s < 0.1, "leaving a tap waits for nothing"
        await asyncio.sleep(0.5)
        before = await packets(room)
        await asyncio.sleep(1.0)
        assert await packets(room) == before


async def packets(room: Observation) -> int:
    statistics = await room.call._room.get_rtc_stats()
    entries = [*statistics.subscriber_stats, *statistics.publisher_stats]
    return sum(
        entry.inbound_rtp.received.packets_received for entry in entries if entry.WhichOneof("stats") == "inbound_rtp"
    )


async def test_taps_that_open_and_close_as_consent_flaps_end_in_one_that_delivers(
    livekit_server: LiveKitServer,
) -> None:
    async with (
        camera(livekit_server, "flapping taps", "ann") as ann,
        observing(livekit_server, "flapping taps") as room,
    ):
        await ann.publish()
        track = await room.track("ann", TrackSource.CAMERA)

        async def watch(permit: Permit) -> None:
            async with room.call.open_video(track, permit) as tap:
                await frames(tap, 1000)

        for n in range(20):  # closed while asked for, while arriving, and while delivering
            permit = Permit("ann", Modality.FACE)
            watching = asyncio.create_task(watch(permit))
            await asyncio.sleep(0.02 * n)
            permit.revoke()
            watching.cancel()
            await asyncio.wait((watching,))
        assert len(await open_until_it_delivers(room, "ann")) == 3


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    connections: list[asyncio.StreamWriter] = []
    hole = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    address = f"ws://127.0.0.1:{hole.sockets[0].getsockname()[1]}"
    began_s = time.perf_counter()
    with pytest.raises(Unavailable):
        async with observing(LiveKitServer(address, "key", "x" * 32), "hole", LiveKitOptions(join_timeout_s=1.0)):
            pass
    assert time.perf_counter() - began_s < 5.0
    hole.close()
    for connection in connections:
        connection.transport.abort()
    async with asyncio.timeout(WITHIN_S):  # the SDK goes on trying for a while; what it joins late is left
        while call._KEPT:
            await asyncio.wait(call._KEPT)
