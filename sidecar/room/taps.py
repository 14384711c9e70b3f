"""Opens and closes one person's taps as their permits and tracks come and go."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.consent.audit import AuditChain
from sidecar.errors import PermitRevoked, TrackUnavailable, UnsupportedCodec
from sidecar.supervisor import Supervised, Supervisor
from sidecar.types import AudioChunk, CallEvent, Missing, Modality, Permit, Track, TrackSource, VideoFrame

log = logging.getLogger(__name__)


class VideoTap(Protocol):
    """A camera's newest frames."""

    def __aiter__(self) -> AsyncIterator[VideoFrame]: ...

    def prefer(self, face_width_px: float | None) -> None:
        """Ask for the smallest layer that shows a face, now this wide, large enough. None: no face is in view."""
        ...


class CallSource(Protocol):
    """A call being observed. Nothing is received from a track before it is opened with a permit."""

    def events(self) -> AsyncIterator[CallEvent]:
        """What happens in the call, beginning with the people and tracks already there; ends with `CallEnded`."""
        ...

    def open_audio(self, track: Track, permit: Permit) -> AbstractAsyncContextManager[AsyncIterator[AudioChunk]]:
        """A tap on a microphone; it ends with the track, the call or the permit. Raises `TrackUnavailable`."""
        ...

    def open_video(self, track: Track, permit: Permit) -> AbstractAsyncContextManager[VideoTap]:
        """A tap on a camera, the newest frames only; ends as `open_audio` does."""
        ...


class Consumer(Protocol):
    """What takes the media of the taps."""

    @property
    def face_width_px(self) -> float | None:
        """Width of the face in the newest frame; None where none was found."""
        ...

    async def see(self, frame: VideoFrame) -> None:
        """Raises `PermitRevoked`."""
        ...

    async def hear(self, chunk: AudioChunk) -> None:
        """Raises `PermitRevoked`."""
        ...

    def failed(self, modality: Modality) -> None:
        """An unexpected error ended a tap; it is opened again in a moment."""
        ...


_SOURCES: Final[Mapping[Modality, TrackSource]] = {
    Modality.FACE: TrackSource.CAMERA,
    Modality.VOICE: TrackSource.MICROPHONE,
}


@dataclass(frozen=True, slots=True)
class _Tap:
    track: Track
    permit: Permit
    task: Supervised


class Taps:
    """At most one tap per modality: on the newest usable track, while there is a permit for it."""

    def __init__(
        self,
        identity: str,
        call: CallSource,
        audit: AuditChain,
        supervisor: Supervisor,
        tracks: Mapping[str, Track],
    ) -> None:
        """`tracks`: the person's tracks by sid, oldest first, kept up to date by the owner, who then calls `settle`."""
        self._identity = identity
        self._call = call
        self._audit = audit
        self._supervisor = supervisor
        self._tracks = tracks
        self._open: dict[Modality, _Tap] = {}
        self._undecodable: set[str] = set()
        """Sids of tracks whose packets arrive and whose codec is not decoded here."""

    def settle(self, permits: Mapping[Modality, Permit], consumer: Consumer) -> None:
        """Close the taps that may no longer run and open those that may."""
        for modality in _SOURCES:
            permit = permits.get(modality)
            if permit is not None and not permit.live:
                permit = None
            track = self._usable_track(modality)
            tap = self._open.get(modality)
            if tap and (
                tap.permit is not permit or track is None or tap.track.sid != track.sid or not tap.task.running
            ):
                tap.task.stop()
                del self._open[modality]
            if permit and track and modality not in self._open:
                self._open[modality] = _Tap(track, permit, self._start(modality, track, permit, consumer))

    def obstacle(self, modality: Modality) -> Missing | None:
        """Why no track of the person can serve a modality, or None where one does."""
        if modality not in _SOURCES:
            return None
        track = self._usable_track(modality)
        if track is not None:
            return Missing.UNSUPPORTED_CODEC if track.sid in self._undecodable else None
        candidates = [track for track in self._tracks.values() if track.source is _SOURCES[modality]]
        if any(track.encrypted for track in candidates):
            return Missing.ENCRYPTED
        if candidates:
            return Missing.MUTED
        video = modality is Modality.FACE
        if any(track.source is TrackSource.OTHER and track.video == video for track in self._tracks.values()):
            return Missing.UNSUPPORTED_SOURCE
        return Missing.NO_TRACK

    def stop(self) -> None:
        """Begin to close all taps; returns at once. The supervisor knows when they have ended. Idempotent."""
        for tap in self._open.values():
            tap.task.stop()
        self._open.clear()

    def _usable_track(self, modality: Modality) -> Track | None:
        usable = [
            track
            for track in self._tracks.values()
            if track.source is _SOURCES[modality] and not track.muted and not track.encrypted
        ]
        return usable[-1] if usable else None

    def _start(self, modality: Modality, track: Track, permit: Permit, consumer: Consumer) -> Supervised:
        return self._supervisor.start(
            f"tap-{modality}",
            lambda: self._run(modality, track, permit, consumer),
            on_failure=lambda _: consumer.failed(modality),
        )

    async def _run(self, modality: Modality, track: Track, permit: Permit, consumer: Consumer) -> None:
        if not permit.live:
            return  # revoked while a failed tap waited for its next try
        proof = {"modality": modality, "permit": permit.id, "source": track.source, "track_sid": track.sid}
        self._audit.record("tap_opened", identity=self._identity, **proof)
        try:
            if modality is Modality.FACE:
                await self._watch(track, permit, consumer)
            else:
                await self._listen(track, permit, consumer)
        except PermitRevoked:
            log.debug("tap on %s ended: consent was revoked", track.sid)
        except UnsupportedCodec as error:
            self._undecodable.add(track.sid)
            log.warning("tap on %s ended: %s", track.sid, error)
        except TrackUnavailable as error:
            log.warning("tap on %s ended: %s", track.sid, error)
        finally:
            self._audit.record("tap_closed", identity=self._identity, **proof)

    async def _watch(self, track: Track, permit: Permit, consumer: Consumer) -> None:
        async with self._call.open_video(track, permit) as frames:
            async for frame in frames:
                self._undecodable.discard(track.sid)
                await consumer.see(frame)
                frames.prefer(consumer.face_width_px)

    async def _listen(self, track: Track, permit: Permit, consumer: Consumer) -> None:
        async with self._call.open_audio(track, permit) as chunks:
            async for chunk in chunks:
                self._undecodable.discard(track.sid)
                await consumer.hear(chunk)
