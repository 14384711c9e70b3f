"""The simulcast layer follows the width of the face, without flapping."""

from sidecar.sources.livekit.layers import LayerChoice, VideoQuality


def follow(choice: LayerChoice, widths_px: list[float], start_s: float = 0.0) -> list[VideoQuality]:
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
