"""Media time of audio without timestamps, and the decimation of frames."""

import numpy as np
import pytest

from sidecar.sources.livekit.media_time import AudioTimeline, FrameRate, shown_s

CHUNK = 1600


def stamps(arrivals_s: list[float]) -> tuple[list[float], AudioTimeline]:
    timeline = AudioTimeline()
    return [timeline.stamp(CHUNK, arrived_s) for arrived_s in arrivals_s], timeline


def test_the_first_chunk_is_placed_by_its_arrival() -> None:
    assert stamps([5.0])[0] == [pytest.approx(4.9)]


def test_jitter_leaves_no_holes() -> None:
    generator = np.random.default_rng(1)
    media, timeline = stamps([1.0 + 0.1 * n + generator.uniform(0, 0.15) for n in range(100)])
    np.testing.assert_allclose(np.diff(media), 0.1)
    assert timeline.corrections == 0


def test_a_busy_moment_and_its_backlog_are_no_gap() -> None:
    punctual = [1.0 + 0.1 * n for n in range(10)]
    backlog = [max(2.0 + 0.1 * n, 2.4) for n in range(10)]  # four chunks arrive at once
    media, timeline = stamps(punctual + backlog)
    np.testing.assert_allclose(np.diff(media), 0.1)
    assert timeline.corrections == 0


def test_a_lasting_delay_is_a_gap_and_is_corrected_once() -> None:
    media, timeline = stamps([1.0 + 0.1 * n for n in range(10)] + [2.5 + 0.1 * n for n in range(10)])
    assert timeline.corrections == 1
    assert media[-1] == pytest.approx(2.5 + 0.9 - 0.1)
    assert all(np.diff(media) > 0)


def test_silence_of_seconds_is_skipped_at_once() -> None:
    media, _ = stamps([1.0, 1.1, 9.0, 9.1])
    assert media[2:] == [pytest.approx(8.9), pytest.approx(9.0)]


def test_samples_never_run_ahead_of_the_clock() -> None:
    fast = [1.0 + 0.09 * n for n in range(200)]  # a sender whose clock is 11 % fast
    media, timeline = stamps(fast)
    ahead = [media_s - (arrived_s - 0.1) for media_s, arrived_s in zip(media, fast, strict=True)]
    assert max(ahead) <= 0.2 + 1e-9
    assert timeline.corrections > 0


@pytest.mark.parametrize("source_fps", [7, 15, 24, 30])
def test_frames_are_thinned_to_the_rate_and_evenly(source_fps: int) -> None:
    rate = FrameRate(5.0)
    taken = [n / source_fps for n in range(source_fps * 20) if rate.takes(n / source_fps)]
    assert len(taken) / 20 == pytest.approx(5.0, rel=0.02)
    assert max(np.diff(taken)) <= 0.2 + 1 / source_fps


def test_a_slow_camera_loses_no_frame() -> None:
    rate = FrameRate(5.0)
    assert all(rate.takes(n / 4) for n in range(40))


def test_a_pause_is_not_made_up_for() -> None:
    rate = FrameRate(5.0)
    assert rate.takes(0.0)
    after_pause = [10 + n / 30 for n in range(30)]
    assert sum(rate.takes(time_s) for time_s in after_pause) <= 6


@pytest.mark.parametrize("jump_s", [-3600.0, -2.0, 3600.0])
def test_a_clock_of_frames_that_jumps_does_not_starve_the_tap(jump_s: float) -> None:
    rate = FrameRate(5.0)
    before = sum(rate.takes(5000 + n / 15) for n in range(150))
    after = sum(rate.takes(5010 + jump_s + n / 15) for n in range(150))
    back = sum(rate.takes(5020 + n / 15) for n in range(150))
    assert before == pytest.approx(50, abs=2)
    assert after == pytest.approx(50, abs=2)
    assert back == pytest.approx(50, abs=2)


@pytest.mark.parametrize(
    ("stamp_s", "expected_s"),
    [(100.0, 100.0), (99.5, 99.5), (100.01, 100.0), (0.0, 100.0), (-7.0, 100.0), (4000.0, 100.0)],
)
def test_a_frame_is_placed_by_its_stamp_while_that_is_on_our_clock(stamp_s: float, expected_s: float) -> None:
    assert shown_s(int(stamp_s * 1e6), arrived_s=100.0) == pytest.approx(expected_s)
