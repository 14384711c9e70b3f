"""Drift is found in sums over enough people, and in nothing smaller."""

import json
from pathlib import Path

import pytest

from sidecar import cli
from sidecar.drift import DriftMonitor, DriftOptions, divergence_nats, judge, week_name
from sidecar.drift_files import DriftFiles
from sidecar.errors import ConfigurationError
from sidecar.telemetry import Telemetry
from sidecar.types import EMOTIONS
from tests.fakes.clock import VirtualClock

OPTIONS = DriftOptions(least_people=3, least_outputs=30)
EVEN = dict.fromkeys(EMOTIONS, 1 / len(EMOTIONS))


@pytest.fixture
def files(tmp_path: Path) -> DriftFiles:
    """A state folder, and a pack whose face model says every emotion alike on validation."""
    (tmp_path / "pack/results").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    result = {"model": {"name": "face-vit", "version": "1", "sha256": "0"}, "distribution": EVEN, "figures": {}}
    (tmp_path / "pack/results/face.json").write_text(json.dumps(result), "utf-8")
    return DriftFiles(tmp_path / "state", tmp_path / "pack")


def observe(
    telemetry: Telemetry, people: int, emotions: tuple[str, ...], *, abstained: bool = False, first: int = 0
) -> None:
    """Forty seconds of each person, whose face shows the emotions in turn."""
    for number in range(first, first + people):
        token = telemetry.person_token(f"person {number}")
        for second in range(40):
            said = {"face": ("face-vit 1", emotions[second % len(emotions)])}
            telemetry.count_estimate(token, said, abstained=abstained)


def gauge(telemetry: Telemetry) -> float | None:
    return telemetry.registry.get_sample_value("sidecar_output_drift_nats", {"modality": "face"})


async def test_a_few_people_leave_no_trace(files: DriftFiles, tmp_path: Path):
    telemetry = Telemetry()
    monitor = DriftMonitor(files, OPTIONS, VirtualClock(), telemetry)
    observe(telemetry, 2, ("sadness",))
    await monitor.release()
    assert not list((tmp_path / "state").iterdir())
    assert gauge(telemetry) is None
    for _ in range(5):  # the same person, attached again and again
        observe(telemetry, 1, ("sadness",))
    await monitor.release()
    assert not list((tmp_path / "state").iterdir())
    observe(telemetry, 1, ("sadness",), first=2)
    await monitor.release()
    assert files.weeks()["1970-W01"]["face"] == {"face-vit 1": {"sadness": 320}}


async def test_unchanged_outputs_pass_and_changed_ones_do_not(files: DriftFiles):
    telemetry = Telemetry()
    monitor = DriftMonitor(files, OPTIONS, VirtualClock(), telemetry)
    observe(telemetry, 5, EMOTIONS)
    await monitor.release()
    assert [verdict.drifted for verdict in judge(files, OPTIONS)] == [False, False]
    assert gauge(telemetry) == pytest.approx(0, abs=0.01)
    observe(telemetry, 50, ("neutral", "neutral", "neutral", "sadness"))
    await monitor.release()
    (face,) = [verdict for verdict in judge(files, OPTIONS) if verdict.subject == "face"]
    assert face.drifted
    assert "nats from validation, limit 0.25" in face.says
    assert gauge(telemetry) == face.divergence_nats


async def test_an_accepted_week_is_the_reference_also_of_the_next_run(files: DriftFiles):
    telemetry = Telemetry()
    DriftMonitor(files, OPTIONS, VirtualClock(), telemetry)
    observe(telemetry, 5, ("neutral",))
    await DriftMonitor(files, OPTIONS, VirtualClock(), telemetry).release()
    assert files.accept() == ["face-vit 1"]
    later = VirtualClock(1000.0 + 7 * 86_400)
    monitor = DriftMonitor(files, OPTIONS, later, telemetry)
    observe(telemetry, 5, ("neutral",))
    await monitor.release()
    assert list(files.weeks()) == ["1970-W01", "1970-W02"]
    (face,) = [verdict for verdict in judge(files, OPTIONS) if verdict.subject == "face"]
    assert not face.drifted
    assert "from 1970-W01" in face.says


async def test_a_rising_share_of_low_confidence_is_drift(files: DriftFiles):
    telemetry = Telemetry()
    observe(telemetry, 5, EMOTIONS, abstained=True)
    await DriftMonitor(files, OPTIONS, VirtualClock(), telemetry).release()
    (estimates,) = [verdict for verdict in judge(files, OPTIONS) if verdict.subject == "estimates"]
    assert estimates.drifted
    assert "100% abstained, limit 60%" in estimates.says


async def test_it_is_released_every_minute(files: DriftFiles):
    import asyncio

    clock, telemetry = VirtualClock(), Telemetry()
    running = asyncio.create_task(DriftMonitor(files, OPTIONS, clock, telemetry).run())
    observe(telemetry, 5, EMOTIONS)
    await clock.advance(61)
    async with asyncio.timeout(5):
        while not files.weeks():  # written in a thread
            await asyncio.sleep(0.005)
    running.cancel()
    assert files.weeks()["1970-W01"]["estimates"] == {"fused": {"given": 200}}


def test_divergence_by_hand():
    """All of the outputs in one of eight equal shares: log 8 nats."""
    assert divergence_nats({"fear": 1_000_000}, EVEN) == pytest.approx(2.079, abs=0.01)
    assert divergence_nats({"fear": 1_000_000}, {"fear": 1.0}) == pytest.approx(0, abs=0.01)


def test_weeks_are_iso_weeks():
    assert week_name(1_798_761_600) == "2026-W53", "the first of January 2027 is a Friday"


async def test_the_command_says_what_it_found(
    files: DriftFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SIDECAR_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SIDECAR_MODELS", str(tmp_path / "pack"))
    assert cli.main(["models", "drift"]) == 0
    assert "nothing counted" in capsys.readouterr().out
    telemetry = Telemetry()
    observe(telemetry, 5, ("neutral",))
    await DriftMonitor(files, OPTIONS, VirtualClock(), telemetry).release()
    assert cli.main(["models", "drift"]) == 1
    assert "drifted  1970-W01 face: 200 outputs of face-vit 1" in capsys.readouterr().out
    assert cli.main(["models", "drift", "--accept"]) == 0
    (tmp_path / "state/drift.json").write_text("{", "utf-8")
    with pytest.raises(ConfigurationError, match=r"drift\.json"):
        files.weeks()
    assert cli.main(["models", "drift"]) == 2
