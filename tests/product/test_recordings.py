"""What the shipped pack makes of recordings, at the level of published events."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.product.reading import analyse_file

NEUTRAL, DISTRESSED = "lbbc2a.mpg", "WolfgangLanger_Pexels.mp4"


WEEPING_S = 9.5
"""The distressed clip weeps for so long; later it laughs."""


def pictures(path, seconds, until_s=60.0):
    """Pictures of a file's beginning at 25 a second, repeated until the time is full, 640x360 without distortion."""
    left = round(seconds * 25)
    while left:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                if not left or frame.time > until_s:
                    break
                left -= 1
                width = round(frame.width * 360 / frame.height)
                picture = np.zeros((360, 640, 3), np.uint8)
                at = (640 - width) // 2
                picture[:, at : at + width] = frame.to_ndarray(format="rgb24", width=width, height=360)
                yield picture


def join(path, parts):
    """A silent recording of parts after one another."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for index, picture in enumerate(picture for part in parts for picture in part):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("neutral_file", [NEUTRAL, "brbk7n.mpg"])
async def test_neutral_distressed_neutral_is_one_episode(data_root, tmp_path, neutral_file):
    clips = data_root / "clips"
    neutral, distressed = clips / neutral_file, clips / DISTRESSED
    parts = [pictures(neutral, 20), pictures(distressed, 19, WEEPING_S), pictures(neutral, 20)]
    sink = await analyse_file(join(tmp_path / "call.mp4", parts), "face", tmp_path)
    phases = [(episode["phase"], episode["started_media_time_s"]) for episode in sink.data("episode")]
    starts = [started for phase, started in phases if phase == "start"]
    assert len(starts) == 1
    assert 19 <= starts[0] <= 32
    ends = [episode for episode in sink.data("episode") if episode["phase"] == "end"]
    assert [end["end_reason"] for end in ends] == ["recovered"]


@pytest.mark.parametrize(("file", "consent"), [(NEUTRAL, "face"), ("jfk.flac", "voice"), (NEUTRAL, "face,voice")])
async def test_clear_faces_and_speech_are_mostly_read(data_root, tmp_path, file, consent):
    path = data_root / "clips" / file
    if path.suffix == ".mpg" and consent == "face":
        path = join(tmp_path / "long.mp4", [pictures(path, 15)])
    estimates = (await analyse_file(path, consent, tmp_path)).data("estimate")
    assert len(estimates) >= 2
    spoken = [estimate for estimate in estimates if not estimate["abstained"]]
    assert len(spoken) >= 0.6 * len(estimates)


async def test_words_are_missing_from_a_recording_and_say_so(data_root, tmp_path):
    sink = await analyse_file(data_root / "clips" / "jfk.flac", "voice,text", tmp_path)
    assert {estimate["missing"]["text"] for estimate in sink.data("estimate")} == {"no_track"}
    assert all(estimate["speaking"] is not None for estimate in sink.data("estimate"))
