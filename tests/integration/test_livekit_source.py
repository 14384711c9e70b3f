"""The LiveKit source against a real server, with a real publisher in another process."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from livekit import api, rtc

from sidecar.demo.cast import CastMember, cast_member
from sidecar.demo.participant import joined, participant_token
from sidecar.dispatch.livekit_server import OBSERVER_IDENTITY, LiveKitServer
from sidecar.errors import CredentialsRefused, InvariantBroken, PermitRevoked, TrackUnavailable, Unavailable
from sidecar.sources.livekit import LiveKitCall, LiveKitOptions
from sidecar.types import (
    AudioChunk,
    CallEnded,
    Modality,
    ParticipantChanged,
    ParticipantKind,
    ParticipantLeft,
    Permit,
    TrackChanged,
    TrackEnded,
    TrackSource,
    TranscriptOffered,
)
from tests.fakes.clip import LEFT_RGB, RIGHT_RGB, TONE_HZ, write_clip
from tests.integration.observation import WITHIN_S, assert_continuous, low_frames, observing

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ROOM = "source"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("media") / "clip.mkv")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(livekit_server: LiveKitServer, clip: Path) -> AsyncIterator[CastMember]:
    """A participant in a process of its own, there for all tests of the module."""
    async with cast_member(livekit_server, ROOM, "ann", media=clip, consent="face,voice") as member:
        yield member


async def take(units, count: int) -> list:
    taken = []
    async with asyncio.timeout(WITHIN_S):
        async for unit in units:
            taken.append(unit)
            if len(taken) == count:
                break
    return taken


async def test_who_is_there_already_comes_first(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        first = await room.seen(ParticipantChanged)
        camera = await room.track("ann", TrackSource.CAMERA)
        microphone = await room.track("ann", TrackSource.MICROPHONE)
    assert room.events[0] is first
    assert (first.participant.identity, first.participant.kind) == ("ann", ParticipantKind.STANDARD)
    assert first.participant.attributes == {"engagement.consent": "face,voice"}
    assert (camera.video, camera.muted, camera.encrypted) == (True, False, False)
    assert (microphone.video, microphone.muted, microphone.encrypted) == (False, False, False)


async def test_frames_come_from_the_lowest_layer_at_the_chosen_rate(
    livekit_server: LiveKitServer, ann: CastMember
) -> None:
    async with observing(livekit_server, ROOM) as room:
        permit = Permit("ann", Modality.FACE)
        async with room.call.open_video(await room.track("ann", TrackSource.CAMERA), permit) as tap:
            frames = await low_frames(tap, 8)
    assert all(frame.permit is permit for frame in frames)
    rate = (len(frames) - 1) / (frames[-1].media_time_s - frames[0].media_time_s)
    assert 2.0 < rate < 5.5  # below five only where the publisher is starved
    assert all(0 <= frame.arrived_s - room.epoch_started_s - frame.media_time_s < 0.5 for frame in frames)
    assert room.dropped("video_tap", "rate") > 0
    left, right = frames[-1].rgb[60:120, 20:140].mean((0, 1)), frames[-1].rgb[60:120, 180:300].mean((0, 1))
    np.testing.assert_allclose(left, LEFT_RGB, atol=25)
    np.testing.assert_allclose(right, RIGHT_RGB, atol=25)


async def test_chunks_are_16_khz_and_their_media_time_has_no_holes(
    livekit_server: LiveKitServer, ann: CastMember
) -> None:
    async with observing(livekit_server, ROOM) as room:
        microphone = await room.track("ann", TrackSource.MICROPHONE)
        async with room.call.open_audio(microphone, Permit("ann", Modality.VOICE)) as tap:
            chunks: list[AudioChunk] = await take(tap, 20)
    assert {chunk.samples.shape for chunk in chunks} == {(1600,)}
    assert {chunk.samples.dtype for chunk in chunks} == {np.dtype(np.float32)}
    assert_continuous(chunks)
    assert all(abs(chunk.arrived_s - room.epoch_started_s - chunk.end_s) < 0.3 for chunk in chunks)
    sound = np.concatenate([chunk.samples for chunk in chunks[-10:]])
    assert np.abs(np.fft.rfft(sound)).argmax() == pytest.approx(TONE_HZ, abs=5)  # one second: a hertz a bin
    assert 0.1 < np.abs(sound).max() < 0.6


async def packets_by_kind(call: LiveKitCall) -> dict[str, int]:
    """RTP packets that reached this observer; the server tells the publisher nothing about a hidden subscriber."""
    statistics = await call._room.get_rtc_stats()
    entries = [*statistics.subscriber_stats, *statistics.publisher_stats]  # one connection may serve both
    inbound = [entry.inbound_rtp for entry in entries if entry.WhichOneof("stats") == "inbound_rtp"]
    return {entry.stream.kind: entry.received.packets_received for entry in inbound}


async def test_nothing_is_received_before_a_tap_is_opened(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        await room.track("ann", TrackSource.CAMERA)
        microphone = await room.track("ann", TrackSource.MICROPHONE)
        await ann.tell("say nobody listens before this sentence is through")
        await room.seen(TranscriptOffered)
        assert await packets_by_kind(room.call) == {}
        async with room.call.open_audio(microphone, Permit("ann", Modality.VOICE)) as tap:
            await take(tap, 5)
            packets = await packets_by_kind(room.call)
        assert packets.keys() == {"audio"}
        assert packets["audio"] > 5
        assert room.received("frames") == 0


async def test_only_a_live_permit_of_the_person_opens_a_track(livekit_server: LiveKitServer, ann: CastMember) -> None:
    revoked = Permit("ann", Modality.FACE)
    revoked.revoke()
    async with observing(livekit_server, ROOM) as room:
        camera = await room.track("ann", TrackSource.CAMERA)
        with pytest.raises(PermitRevoked):
            async with room.call.open_video(camera, revoked):
                pass
        for permit in (Permit("bob", Modality.FACE), Permit("ann", Modality.VOICE)):
            with pytest.raises(InvariantBroken):
                async with room.call.open_video(camera, permit):
                    pass


async def test_revocation_ends_a_tap_and_discards_what_comes_after(
    livekit_server: LiveKitServer, ann: CastMember
) -> None:
    async with observing(livekit_server, ROOM) as room:
        camera = await room.track("ann", TrackSource.CAMERA)
        permit = Permit("ann", Modality.FACE)
        async with room.call.open_video(camera, permit) as tap:
            await take(tap, 1)
            permit.revoke()
            assert await take(tap, 1) == []
        assert room.dropped("video_tap", "revoked") >= 1


async def test_two_taps_share_a_microphone(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        microphone = await room.track("ann", TrackSource.MICROPHONE)
        async with room.call.open_audio(microphone, Permit("ann", Modality.TEXT)) as words:
            async with room.call.open_audio(microphone, Permit("ann", Modality.VOICE)) as voice:
                await take(voice, 2)
                await take(words, 2)
            assert len(await take(words, 5)) == 5
        async with room.call.open_audio(microphone, Permit("ann", Modality.VOICE)) as again:
            assert len(await take(again, 2)) == 2


async def test_a_tap_may_be_closed_and_opened_again_and_again(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        microphone = await room.track("ann", TrackSource.MICROPHONE)
        for _ in range(6):
            async with room.call.open_audio(microphone, Permit("ann", Modality.VOICE)) as tap:
                assert len(await take(tap, 1)) == 1
        assert not [event for event in room.events if isinstance(event, CallEnded)]


async def test_a_muted_track_delivers_nothing(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        microphone = await room.track("ann", TrackSource.MICROPHONE)
        async with room.call.open_audio(microphone, Permit("ann", Modality.VOICE)) as tap:
            before = (await take(tap, 2))[-1]
            since = len(room.events)
            await ann.tell("mute audio")
            muted = await room.seen(TrackChanged, lambda event: event.track.muted, since)
            assert muted.track.sid == microphone.sid
            async with asyncio.timeout(WITHIN_S):
                while room.dropped("audio_tap", "muted") < 10:
                    await asyncio.sleep(0.05)
            await ann.tell("unmute audio")
            await room.seen(TrackChanged, lambda event: not event.track.muted, since)
            unmuted_s = time.monotonic()
            chunks = await take(tap, 8)
    waiting = [chunk for chunk in chunks if chunk.arrived_s < unmuted_s - 0.5]
    assert all(np.abs(chunk.samples).max() > 0.1 for chunk in waiting), "silence of the muted track"
    assert chunks[-1].media_time_s > before.media_time_s + 1.0, "media time runs on while muted"


async def test_camera_off_and_on(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        camera = await room.track("ann", TrackSource.CAMERA)
        async with room.call.open_video(camera, Permit("ann", Modality.FACE)) as tap:
            await take(tap, 1)
            since = len(room.events)
            await ann.tell("unpublish video")
            ended = await room.seen(TrackEnded)
            assert ended.track.sid == camera.sid
            assert len(await take(tap, 50)) < 50, "the tap ends with its track"
        with pytest.raises(TrackUnavailable):
            async with room.call.open_video(camera, Permit("ann", Modality.FACE)):
                pass
        await ann.tell("publish video")
        again = await room.seen(TrackChanged, lambda event: event.track.source is TrackSource.CAMERA, since)
        async with room.call.open_video(again.track, Permit("ann", Modality.FACE)) as tap:
            assert len(await take(tap, 2)) == 2


async def test_consent_changes_arrive(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        await room.seen(ParticipantChanged)
        for words in ("face", "face,voice"):
            since = len(room.events)
            await ann.tell(f"consent {words}")
            changed = await room.seen(ParticipantChanged, since=since)
            assert changed.participant.attributes["engagement.consent"] == words


async def test_the_observer_is_hidden_and_may_do_nothing(livekit_server: LiveKitServer, clip: Path) -> None:
    token = participant_token(livekit_server, "hidden", "ann")
    async with joined(livekit_server.url, token, clip) as ann, observing(livekit_server, "hidden") as room:
        await room.seen(TrackChanged)
        await ann.consent("face")
        await room.seen(ParticipantChanged, lambda event: "engagement.consent" in event.participant.attributes)
        assert not ann.room.remote_participants
        async with api.LiveKitAPI(livekit_server.url, livekit_server.api_key, livekit_server.api_secret) as server:
            listed = await server.room.list_participants(api.ListParticipantsRequest(room="hidden"))
    (observer,) = [person for person in listed.participants if person.identity == OBSERVER_IDENTITY]
    allowed = observer.permission
    assert (allowed.hidden, allowed.can_subscribe) == (True, True)
    assert not any((allowed.can_publish, allowed.can_publish_data, allowed.can_update_metadata))
    assert observer.kind == api.ParticipantInfo.Kind.AGENT


async def test_a_second_observer_ends_the_first(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as first:
        camera = await first.track("ann", TrackSource.CAMERA)
        async with first.call.open_video(camera, Permit("ann", Modality.FACE)) as tap:
            await take(tap, 1)
            async with observing(livekit_server, ROOM) as second:
                ended = await first.seen(CallEnded)
                assert len(await take(tap, 50)) < 50, "taps end with the call"
                await second.seen(ParticipantChanged)
    assert ended == CallEnded("duplicate_identity")
    assert first.events[-1] is ended


async def test_joining_anew_after_a_break_is_no_departure(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        camera = await room.track("ann", TrackSource.CAMERA)
        async with room.call.open_video(camera, Permit("ann", Modality.FACE)) as tap:
            await take(tap, 1)
            since = len(room.events)
            await room.call._room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
            await take(tap, 100)
        again = await room.seen(TrackChanged, lambda event: event.track.source is TrackSource.CAMERA, since)
        async with room.call.open_video(again.track, Permit("ann", Modality.FACE)) as tap:
            assert len(await take(tap, 2)) == 2
        assert not [event for event in room.events if isinstance(event, ParticipantLeft | CallEnded)]


async def test_a_deleted_room_ends_the_call(livekit_server: LiveKitServer) -> None:
    async with observing(livekit_server, "doomed") as room:
        async with api.LiveKitAPI(livekit_server.url, livekit_server.api_key, livekit_server.api_secret) as server:
            await server.room.delete_room(api.DeleteRoomRequest(room="doomed"))
        assert await room.seen(CallEnded) == CallEnded("room_deleted")


async def test_transcripts_are_offered_with_their_owner(livekit_server: LiveKitServer, ann: CastMember) -> None:
    async with observing(livekit_server, ROOM) as room:
        await room.track("ann", TrackSource.MICROPHONE)
        await ann.tell("say it is a real pleasure to meet you")
        offered = await room.seen(TranscriptOffered)
        assert (offered.owner_identity, offered.sender_identity) == ("ann", "ann")
        assert offered.sender_kind is ParticipantKind.STANDARD
        assert offered.segment_id
        assert await offered.stream.read() == "it is a real pleasure to meet you"
        assert room.dropped("transcript", "interim") == 1


async def test_a_transcript_of_an_unknown_track_has_no_owner(livekit_server: LiveKitServer, clip: Path) -> None:
    token = participant_token(livekit_server, "strangers", "bob")
    async with joined(livekit_server.url, token, clip) as bob, observing(livekit_server, "strangers") as room:
        await room.seen(ParticipantChanged)
        await bob.unpublish("audio")
        await bob.say("about nobody in this room")
        offered = await room.seen(TranscriptOffered)
    assert (offered.owner_identity, offered.sender_identity) == (None, "bob")


async def test_a_transcript_beyond_the_bound_is_not_read(livekit_server: LiveKitServer, clip: Path) -> None:
    token = participant_token(livekit_server, "long", "bob")
    options = LiveKitOptions(transcript_bytes=1000)
    async with joined(livekit_server.url, token, clip) as bob, observing(livekit_server, "long", options) as room:
        await room.seen(ParticipantChanged)
        await bob.say("word " * 1000)
        offered = await room.seen(TranscriptOffered)
        with pytest.raises(TrackUnavailable):
            await offered.stream.read()


async def test_encrypted_tracks_are_reported_and_never_opened(livekit_server: LiveKitServer, clip: Path) -> None:
    token = participant_token(livekit_server, "secret", "eve")
    eve = joined(livekit_server.url, token, clip, encryption_key=b"for our ears only")
    async with eve, observing(livekit_server, "secret") as room:
        camera = await room.track("eve", TrackSource.CAMERA)
        assert camera.encrypted
        with pytest.raises(TrackUnavailable, match="encrypted"):
            async with room.call.open_video(camera, Permit("eve", Modality.FACE)):
                pass


async def test_screens_are_other_sources(livekit_server: LiveKitServer, clip: Path) -> None:
    token = participant_token(livekit_server, "screens", "ann")
    async with joined(livekit_server.url, token, clip) as ann, observing(livekit_server, "screens") as room:
        screen = rtc.LocalVideoTrack.create_video_track("screen", rtc.VideoSource(640, 360, is_screencast=True))
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_SCREENSHARE)
        await ann.room.local_participant.publish_track(screen, options)
        shared = await room.seen(TrackChanged, lambda event: event.track.source is TrackSource.OTHER)
    assert shared.track.video


async def test_leaving_ends_the_taps_of_who_left(livekit_server: LiveKitServer, clip: Path) -> None:
    async with observing(livekit_server, "brief") as room:
        token = participant_token(livekit_server, "brief", "a name / with spaces, 😀 and " + "length" * 20)
        async with joined(livekit_server.url, token, clip) as guest:
            microphone = await room.track(guest.identity, TrackSource.MICROPHONE)
            async with room.call.open_audio(microphone, Permit(guest.identity, Modality.VOICE)) as tap:
                await take(tap, 1)
                await guest.leave()
                assert len(await take(tap, 100)) < 100
        assert (await room.seen(ParticipantLeft)).identity == guest.identity


async def test_wrong_credentials_and_silent_servers_are_told_apart(livekit_server: LiveKitServer) -> None:
    with pytest.raises(CredentialsRefused) as refused:
        async with observing(LiveKitServer(livekit_server.url, livekit_server.api_key, "x" * 32), ROOM):
            pass
    assert "eyJ" not in str(refused.value), "no token in messages"
    with pytest.raises(Unavailable):
        async with observing(LiveKitServer("ws://127.0.0.1:9", "devkey", "x" * 32), ROOM):
            pass
