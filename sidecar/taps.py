"""Opens and closes one person's taps as their permits and tracks come and go."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.consent.audit import AuditChain
from sidecar.errors import PermitRevoked, TrackUnavailable
from sidecar.pipeline import ParticipantPipeline
from sidecar.types import AudioChunk, CallEvent, Missing, Modality, Permit, Track, TrackSource, VideoFrame

log = logging.getLogger(__name__)


class VideoTap(Protocol):
    """A camera's newest frames."""

    def __aiter__(self) -> AsyncIterator[VideoFrame]: ...

    def prefer(self, face_width_px: float) -> None:
        """Ask for the smallest layer that shows a face, now this wide, large enough."""
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


_SOURCES: Final[Mapping[Modality, TrackSource]] = {
    Modality.FACE: TrackSource.CAMERA,
    Modality.VOICE: TrackSource.MICROPHONE,
}


@dataclass(frozen=True, slots=True)
class _Tap:
    track: Track
    permit: Permit
    task: asyncio.Task[None]


class Taps:
    """At most one tap per modality: on the newest usable track, while there is a permit for it."""

    def __init__(
        self,
        identity: str,
        call: CallSource,
        pipeline: ParticipantPipeline,
        audit: AuditChain,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._identity = identity
        self._call = call
        self._pipeline = pipeline
        self._audit = audit
        self._tasks = tasks
        self._tracks: dict[str, Track] = {}
        self._open: dict[Modality, _Tap] = {}

    def set_track(self, track: Track) -> None:
        """Take note of a track or of its new state; `settle` acts on it."""
        self._tracks[track.sid] = track

    def remove_track(self, track: Track) -> None:
        self._tracks.pop(track.sid, None)

    def settle(self, permits: Mapping[Modality, Permit]) -> None:
        """Close the taps that may no longer run and open those that may."""
        for modality in _SOURCES:
            permit = permits.get(modality)
            track = self._usable_track(modality)
            tap = self._open.get(modality)
            if tap and (tap.permit is not permit or track is None or tap.track.sid != track.sid or tap.task.done()):
                tap.task.cancel()
                del self._open[modality]
            if permit and track and modality not in self._open:
                task = self._tasks.create_task(self._run(modality, track, permit))
                self._open[modality] = _Tap(track, permit, task)

    def obstacle(self, modality: Modality) -> Missing | None:
        """Why no track of the person can serve a modality, or None where one does."""
        if modality not in _SOURCES or self._usable_track(modality) is not None:
            return None
        candidates = [track for track in self._tracks.values() if track.source is _SOURCES[modality]]
        if any(track.encrypted for track in candidates):
            return Missing.ENCRYPTED
        if candidates:
            return Missing.MUTED
        video = modality is Modality.FACE
        if any(track.source is TrackSource.OTHER and track.video == video for track in self._tracks.values()):
            return Missing.UNSUPPORTED_SOURCE
        return Missing.NO_TRACK

    async def aclose(self) -> None:
        """Close all taps and wait until nothing of them runs. Idempotent."""
        tasks = [tap.task for tap in self._open.values()]
        self._open.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _usable_track(self, modality: Modality) -> Track | None:
        usable = [
            track
            for track in self._tracks.values()
            if track.source is _SOURCES[modality] and not track.muted and not track.encrypted
        ]
        return usable[-1] if usable else None

    async def _run(self, modality: Modality, track: Track, permit: Permit) -> None:
        proof = {"modality": modality, "permit": permit.id, "source": track.source, "track_sid": track.sid}
        self._audit.record("tap_opened", identity=self._identity, **proof)
        try:
            if modality is Modality.FACE:
                await self._watch(track, permit)
            else:
                await self._listen(track, permit)
        except PermitRevoked:
            log.debug("tap on %s ended: consent was revoked", track.sid)
        except TrackUnavailable as error:
            log.warning("tap on %s ended: %s", track.sid, error)
        finally:
            self._audit.record("tap_closed", identity=self._identity, **proof)

    async def _watch(self, track: Track, permit: Permit) -> None:
        async with self._call.open_video(track, permit) as frames:
            async for frame in frames:
                await self._pipeline.see(frame)
                if self._pipeline.face_width_px is not None:
                    frames.prefer(self._pipeline.face_width_px)

    async def _listen(self, track: Track, permit: Permit) -> None:
        async with self._call.open_audio(track, permit) as chunks:
            async for chunk in chunks:
                await self._pipeline.hear(chunk)
