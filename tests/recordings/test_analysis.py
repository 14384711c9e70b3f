import pytest

from sidecar.clock import SystemClock
from sidecar.consent.audit import AuditChain, verify
from sidecar.errors import ConfigurationError
from sidecar.pipeline import ParticipantPipeline, PipelineOptions
from sidecar.publish.publisher import RoomPublisher
from sidecar.recordings.analysis import RecordingAnalysis
from sidecar.sources.recording import open_recording
from sidecar.telemetry import Telemetry
from sidecar.timeline import Timeline
from tests.fakes.sink import MemorySink
from tests.fakes.stages import FakeStages
from tests.media_files import write_recording


async def analyse(path, folder, consent, sink):
    clock = SystemClock()
    with AuditChain(folder / "audit", "call", "e1", clock, Telemetry()) as audit:
        analysis = RecordingAnalysis(
            open_recording(path),
            make_pipeline=lambda: ParticipantPipeline(FakeStages(), PipelineOptions()),
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
    timeline.draw(tmp_path / "plot.png", "call")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigurationError, match="--plot"):
        timeline.draw(tmp_path / "missing" / "plot.png", "call")
    assert sink.data("estimate")
