"""The simulcast layer follows the width of the face, without flapping."""

from collections.abc import Callable

import pytest

from sidecar.sources.livekit.layers import LayerChoice, VideoQuality


def follow(choice: LayerChoice, widths_px: list[float | None], start_s: float = 0.0) -> list[VideoQuality]:
    """What is asked for when a face of these widths is reported five times a second."""
    asked = [choice.consider(width_px, start_s + n / 5) for n, width_px in enumerate(widths_px)]
    return [quality for quality in asked if quality is not None]


def test_a_face_large_enough_stays_on_the_lowest_layer() -> None:
    assert follow(LayerChoice(), [80.0] * 100) == []


def test_one_small_face_is_no_reason() -> None:
    assert follow(LayerChoice(), [80, 40, 40, 40, 40, 80] * 10) == []


def test_a_face_that_stays_small_asks_for_one_layer_more() -> None:
    assert follow(LayerChoice(), [40.0] * 10 + [80.0] * 100) == [VideoQuality.MEDIUM]


def test_a_distant_face_climbs_to_the_top_and_no_further() -> None:
    assert follow(LayerChoice(), [10.0] * 500) == [VideoQuality.MEDIUM, VideoQuality.HIGH]


def test_a_large_face_comes_down_again() -> None:
    choice = LayerChoice()
    follow(choice, [40.0] * 10)
    assert follow(choice, [170.0] * 10, start_s=60.0) == [VideoQuality.LOW]


def test_what_the_change_itself_does_to_the_width_does_not_turn_it_back() -> None:
    choice = LayerChoice()
    asked = []
    for n in range(600):  # 60 px on the low layer are 120 on the next
        width_px = 60.0 * 2**choice.quality
        asked += follow(choice, [width_px], start_s=n / 5)
    assert asked == [VideoQuality.MEDIUM]


def test_an_empty_chair_never_asks_for_a_higher_layer() -> None:
    assert follow(LayerChoice(), [80.0, 40.0, *[None] * 5000]) == []


def test_a_lost_small_face_goes_back_to_the_lowest_layer_and_stays_there() -> None:
    choice = LayerChoice()
    assert follow(choice, [20.0] * 100) == [VideoQuality.MEDIUM, VideoQuality.HIGH]
    assert follow(choice, [None] * 5000, start_s=20.0) == [VideoQuality.LOW]


def test_a_face_lost_for_a_moment_keeps_its_layer() -> None:
    choice = LayerChoice()
    follow(choice, [40.0] * 10)
    assert follow(choice, ([None] * 40 + [80.0] * 5) * 20, start_s=2.0) == []


def test_a_small_face_that_flickers_still_gets_a_higher_layer() -> None:
    assert follow(LayerChoice(), [40.0, None, None] * 8) == [VideoQuality.MEDIUM]


def test_single_false_detections_in_an_empty_room_do_not_add_up() -> None:
    assert follow(LayerChoice(), [30.0, *[None] * 9] * 200) == []


def test_a_face_too_small_even_on_the_highest_layer_stays_there() -> None:
    choice = LayerChoice()
    follow(choice, [10.0] * 100)
    assert follow(choice, [10.0, 10.0, None] * 1000, start_s=20.0) == []


COMING_AND_GOING: dict[str, Callable[[float, int], float | None]] = {
    "every 12 s": lambda now_s, layer: None if now_s % 24 < 12 else 25.0 * 2**layer,
    "every 30 s": lambda now_s, layer: None if now_s % 60 < 30 else 25.0 * 2**layer,
    "seen on high layers only": lambda _, layer: None if layer < 1 else 20.0 * 2**layer,
    "near and far": lambda now_s, layer: (25.0 if now_s % 14 < 7 else 170.0) * 2**layer,
}


@pytest.mark.parametrize("behaviour", COMING_AND_GOING)
def test_changes_in_an_hour_are_few_whatever_the_face_does(behaviour: str) -> None:
    choice = LayerChoice()
    width_px = COMING_AND_GOING[behaviour]
    asked = []
    for n in range(3600 * 5):
        asked += follow(choice, [width_px(n / 5, choice.quality)], start_s=n / 5)
    assert len(asked) <= 40, asked


def test_patience_is_forgotten_after_a_quiet_time() -> None:
    choice = LayerChoice()
    for n in range(6):  # a face that comes and goes
        follow(choice, [25.0] * 100 + [None] * 100, start_s=40.0 * n)
    quiet_s = 240.0 + 400.0
    follow(choice, [None] * 2000, start_s=240.0)
    follow(choice, [25.0] * 100, start_s=quiet_s)
    assert follow(choice, [None] * 60, start_s=quiet_s + 20.0) == [VideoQuality.LOW]


@pytest.mark.parametrize("width_px", [float("nan"), 0.0, -5.0, float("inf")])
def test_widths_that_make_no_sense_do_no_harm(width_px: float) -> None:
    assert len(follow(LayerChoice(), [width_px] * 500)) <= 2
