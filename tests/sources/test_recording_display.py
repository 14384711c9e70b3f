"""Pictures with a display time that their decoding time contradicts."""

import av
import pytest

from tests.sources.made import Make
from tests.sources.reading import agrees, read

SAME = {second: second for second in range(6)}


def remade(source, path, display, drop=()):
    """A file of the same packets, `display(number)` seconds later to be shown; without the pictures numbered `drop`."""
    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in container.streams}
        number = 0
        for packet in container.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                packet.pts += round(display(number) / packet.time_base)
                number += 1
                if number - 1 in drop:
                    continue
            packet.stream = streams[packet.stream_index]
            out.mux(packet)
    return path


@pytest.mark.parametrize("reordered", [0, 2])
@pytest.mark.parametrize("numbers", [{70}, {70, 71, 90}, {148}])
@pytest.mark.parametrize("late_s", [3, 40, 3000])
@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts", "flv"])
def test_a_wrong_display_time_hides_no_other_picture(tmp_path, ending, late_s, numbers, reordered):
    source = Make(sample_rate=44_100, reordered=reordered).write(tmp_path / "source.mp4")
    found = read(remade(source, tmp_path / f"a.{ending}", lambda number: late_s * (number in numbers)))
    agrees(found.seen(), SAME)
    assert len(found.frames) in (29, 30)
    assert found.said("impossible time stamp") or ending in ("mkv", "flv")  # FFmpeg repairs some


@pytest.mark.parametrize("ending", ["mp4", "ts"])  # in the others the decoding time follows the last picture
@pytest.mark.parametrize("late_s", [3, 3000])
def test_a_wrong_display_time_of_the_last_picture(tmp_path, ending, late_s):
    source = Make(sample_rate=44_100).write(tmp_path / "source.mp4")
    found = read(remade(source, tmp_path / f"a.{ending}", lambda number: late_s * (number == 149)))
    agrees(found.seen(), SAME)


@pytest.mark.parametrize("late_s", [3, 20])
def test_a_constant_offset_of_display_is_no_mistake(tmp_path, late_s):
    source = Make(reordered=2, audio=None).write(tmp_path / "source.mp4")
    found = read(remade(source, tmp_path / "a.mp4", lambda number: late_s))
    starts = [frame.media_time_s for frame in found.frames]
    assert len(starts) in (29, 30, 31)
    assert starts[-1] - starts[0] == pytest.approx(5.8, abs=0.1)
    assert not found.said("impossible")


@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts", "flv"])
def test_a_hole_in_reordered_pictures_is_counted_once(tmp_path, ending):
    make = Make(seconds=12, sample_rate=44_100, reordered=2, gop=250)
    source = make.write(tmp_path / "source.mp4")
    found = read(remade(source, tmp_path / f"a.{ending}", lambda number: 0, drop=range(100, 225)))
    assert found.said("video: 1 gap of 5.") or found.said("video: 1 gap of 4.9")
    assert found.frames[-1].media_time_s == pytest.approx(11.8, abs=0.3)


def test_few_pictures_in_a_long_time_are_where_they_belong(tmp_path):
    path = Make(seconds=6, rate=5, audio=None, reordered=2).write(tmp_path / "a.mp4", lambda kind, at_s: at_s * 20)
    assert [round(frame.media_time_s) for frame in read(path).frames] == [4 * each for each in range(30)]
