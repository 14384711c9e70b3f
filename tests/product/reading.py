"""Runs the shipped pack over pictures, sound and files, as the product does."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import av
import msgspec
import numpy as np

from sidecar.clock import SystemClock
from sidecar.config import load_settings
from sidecar.consent.audit import AuditChain
from sidecar.engines import Engines
from sidecar.pipeline import ParticipantPipeline, PipelineOptions
from sidecar.publish.publisher import RoomPublisher
from sidecar.recordings.analysis import RecordingAnalysis
from sidecar.sources.recording import open_recording
from sidecar.stages.face import FaceOptions
from sidecar.telemetry import Telemetry
from sidecar.types import AudioChunk, ByteArray, FloatArray, FusedEstimate, Modality, Permit, VideoFrame
from tests.fakes.sink import MemorySink

FPS = 5.0


@asynccontextmanager
async def shipped_engines(
    telemetry: Telemetry | None = None, face: FaceOptions | None = None
) -> AsyncIterator[Engines]:
    """The pack of the repository, with nothing shed. `face` replaces the face stage's settings."""
    settings = load_settings({})
    async with Engines(
        settings.models,
        msgspec.structs.replace(settings.tree.engines, face=face or settings.tree.engines.face),
        clock=SystemClock(),
        telemetry=telemetry or Telemetry(),
        shed_stale=False,
    ) as engines:
        yield engines


async def analyse_file(path: Path, consent: str, folder: Path) -> MemorySink:
    """All events of a recording."""
    clock, telemetry, sink = SystemClock(), Telemetry(), MemorySink()
    async with shipped_engines(telemetry) as engines:
        with AuditChain(folder / "audit", path.stem, "e1", clock, telemetry) as audit:
            analysis = RecordingAnalysis(
                open_recording(path),
                make_pipeline=lambda: ParticipantPipeline(engines, PipelineOptions()),
                publisher=RoomPublisher(path.stem, "e1", "w", sink, clock),
                audit=audit,
                clock=clock,
                telemetry=telemetry,
                fps=FPS,
            )
            await analysis.run(consent, lambda _: None)
    return sink


async def read_person(
    engines: Engines, pictures: Iterable[ByteArray], sound: FloatArray | None = None
) -> FusedEstimate | None:
    """One person's estimate after pictures shown five times a second, and sound beside them."""
    pipeline = ParticipantPipeline(engines, PipelineOptions())
    face, voice = Permit("p", Modality.FACE), Permit("p", Modality.VOICE)
    end_s = 0.0
    for index, picture in enumerate(pictures):
        end_s = index / FPS
        await pipeline.see(VideoFrame(picture, end_s, SystemClock().monotonic(), face))
    if sound is not None:
        for start in range(0, len(sound) - 1600, 1600):
            await pipeline.hear(
                AudioChunk(sound[start : start + 1600], start / 16_000, SystemClock().monotonic(), voice)
            )
    return (await pipeline.reading(end_s + 0.05)).estimate


def pictures_of(path: Path, count: int, *, width: int | None = None, step: int = 5) -> list[ByteArray]:
    """The first pictures of a file, every `step`-th, as RGB."""
    found: list[ByteArray] = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                size = {} if width is None else {"width": width, "height": round(frame.height * width / frame.width)}
                found.append(frame.to_ndarray(format="rgb24", **size))
            if len(found) == count:
                break
    return found


def sound_of(path: Path) -> FloatArray:
    """All of a file's sound, 16 kHz mono."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        pieces = [
            piece.to_ndarray().reshape(-1) for frame in container.decode(audio=0) for piece in resampler.resample(frame)
        ]
    return np.concatenate(pieces).astype(np.float32)
