import asyncio
import errno
import os

import pytest

from sidecar.clock import SystemClock
from sidecar.consent.audit import AuditChain, verify
from sidecar.errors import AuditUnavailable, ConfigurationError, InvariantBroken
from sidecar.pipeline import ParticipantPipeline, PipelineOptions
from sidecar.publish.publisher import RoomPublisher
from sidecar.recordings.analysis import RecordingAnalysis
from sidecar.recordings.timeline import Timeline
from sidecar.sources.recording import open_recording
from sidecar.telemetry import Telemetry
from tests.fakes.sink import MemorySink
from tests.fakes.stages import FakeStages
from tests.media_files import write_recording


async def analyse(path, folder, consent, sink, stages=None):
    clock = SystemClock()
    with AuditChain(folder / "audit", "call", "e1", clock, Telemetry()) as audit:
        analysis = RecordingAnalysis(
            open_recording(path),
            make_pipeline=lambda: ParticipantPipeline(stages or FakeStages(), PipelineOptions()),
            publisher=RoomPublisher("call", "e1", "w", sink, clock),
            audit=audit,
            clock=clock,
            telemetry=Telemetry(),
            fps=5.0,
        )
        await analysis.run(consent, lambda _: None)
    return audit


async def test_one_estimate_a_second_and_a_verifiable_audit(tmp_path):
    sink = MemorySink()
    audit = await analyse(write_recording(tmp_path / "call.mp4", 5.0), tmp_path, "face,voice", sink)
    times = [estimate["media_time_s"] for estimate in sink.data("estimate")]
    assert times[:4] == [1.0, 2.0, 3.0, 4.0]
    assert sink.data("room")[-1]["reason"] == "end_of_recording"
    assert verify(audit.path, sink.data("room")[-1]["audit_head"])
    log = audit.path.read_text()
    assert log.count('"kind":"granted"') == 2
    assert log.count('"kind":"inferred"') == 2


async def test_a_modality_without_consent_or_track_is_named(tmp_path):
    sink = MemorySink()
    await analyse(write_recording(tmp_path / "call.mp4", 2.0, audio=False), tmp_path, "face,voice", sink)
    assert sink.data("estimate")[0]["missing"] == {"voice": "no_track", "text": "no_consent"}


@pytest.mark.parametrize("consent", ["", "everything", "face;voice"])
async def test_consent_must_be_attested_in_known_words(tmp_path, consent):
    with pytest.raises(ConfigurationError, match="--consent"):
        await analyse(write_recording(tmp_path / "call.mp4", 0.5), tmp_path, consent, MemorySink())


async def test_the_timeline_is_a_picture_of_all_estimates(tmp_path):
    sink = MemorySink()
    timeline = Timeline(sink)
    await analyse(write_recording(tmp_path / "call.mp4", 3.0), tmp_path, "face,voice", timeline)
    assert timeline.draw(".png", "call").startswith(b"\x89PNG")
    assert sink.data("estimate")


class Broken(FakeStages):
    """A face stage that raises what no code expects: for the first `units` frames, or for ever."""

    def __init__(self, units):
        super().__init__()
        self.left = units

    def face(self):
        stage = super().face()
        observe = stage.observe

        async def failing(unit):
            if self.left > 0:
                self.left -= 1
                raise ZeroDivisionError
            return await observe(unit)

        stage.observe = failing
        return stage


async def test_a_unit_that_breaks_a_stage_costs_that_unit(tmp_path, caplog):
    sink = MemorySink()
    path = write_recording(tmp_path / "call.mp4", 4.0, audio=False)
    await analyse(path, tmp_path, "face", sink, Broken(3))
    assert sink.data("estimate")
    off = [each["reason"] for each in sink.data("participant") if each["state"] == "off"]
    assert off == ["engine_unavailable"]
    assert sink.data("room")[-1]["reason"] == "end_of_recording"
    assert "ZeroDivisionError" in caplog.text


async def test_a_stage_that_never_works_ends_the_analysis_in_order(tmp_path):
    sink = MemorySink()
    path = write_recording(tmp_path / "call.mp4", 4.0, audio=False)
    with pytest.raises(InvariantBroken, match="10 units in a row"):
        await analyse(path, tmp_path, "face", sink, Broken(1000))
    assert sink.data("room")[-1]["reason"] == "failed"


async def test_a_cancelled_analysis_ends_in_order(tmp_path):
    sink = MemorySink()
    path = write_recording(tmp_path / "call.mp4", 20.0)
    running = asyncio.create_task(analyse(path, tmp_path, "face,voice", sink))
    async with asyncio.timeout(20):
        while len(sink.data("estimate")) < 3:
            await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sink.data("room")[-1]["reason"] == "interrupted"
    [chain] = (tmp_path / "audit").glob("*/e1.jsonl")
    assert verify(chain, sink.data("room")[-1]["audit_head"]).lines > 0


async def test_a_disk_that_fills_up_during_the_analysis_is_reported_at_its_end(tmp_path, monkeypatch):
    sink = MemorySink()
    path = write_recording(tmp_path / "call.mp4", 5.0)
    real = os.write

    def full(descriptor, data):
        if b'"revoked"' in data:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(AuditUnavailable, match="make room"):
        await analyse(path, tmp_path, "face,voice", sink)
    assert sink.data("room")[-1]["change"] == "detached"
