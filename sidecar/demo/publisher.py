"""A simulated participant as a process: `python -m sidecar.demo.publisher --url URL --token TOKEN --media FILE`.

It says `ready` once its tracks are published, then obeys lines on standard input, and leaves when that ends:

    mute|unmute|publish|unpublish audio|video, consent face,voice,text, media FILE, say TEXT, leave
"""

import argparse
import asyncio
import itertools
import sys
from pathlib import Path
from typing import Final

from sidecar.demo.participant import SimulatedParticipant, joined
from sidecar.errors import SidecarError

_SAY_EVERY_S: Final = 4.0


async def obey(participant: SimulatedParticipant, line: str) -> bool:
    """Carry out one line; False where it was `leave`. Raises `ValueError` for a line that says nothing known."""
    word, _, rest = line.strip().partition(" ")
    match word:
        case "mute" | "unmute":
            participant.mute(rest, word == "mute")
        case "publish":
            await participant.publish(rest)
        case "unpublish":
            await participant.unpublish(rest)
        case "consent":
            await participant.consent(rest)
        case "media":
            await participant.play(Path(rest))
        case "say":
            await participant.say(rest)
        case "leave":
            return False
        case _:
            raise ValueError(f"unknown command: {line!r}")
    return True


async def take_part(arguments: argparse.Namespace) -> None:
    """Join, publish, and obey standard input until it ends."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with joined(arguments.url, arguments.token, arguments.media, arguments.media_voice) as participant:
        print("ready", flush=True)  # noqa: T201 - what the starting process waits for
        recital = asyncio.create_task(_recite(participant, arguments.transcript))
        try:
            while line := (await lines.readline()).decode():
                if not await obey(participant, line):
                    break
        finally:
            recital.cancel()
            await asyncio.wait((recital,))


async def _recite(participant: SimulatedParticipant, transcript: list[str]) -> None:
    """Say one line of the transcript after the other, again and again."""
    for line in itertools.cycle(transcript):
        await participant.say(line)
        await asyncio.sleep(_SAY_EVERY_S)


def _transcript(argument: str) -> list[str]:
    """The lines of a file, or of the argument itself."""
    text = Path(argument).read_text("utf-8") if Path(argument).is_file() else argument
    return [line for line in text.splitlines() if line.strip()]


def main() -> int:
    """Take part in a call as told by the command line."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.demo.publisher", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True, help="names the room, the identity and the first consent")
    parser.add_argument("--media", required=True, type=Path, help="video or picture for the camera")
    parser.add_argument("--media-voice", type=Path, help="sound for the microphone, where it is another file")
    parser.add_argument(
        "--transcript",
        type=_transcript,
        default=[],
        help="text, or a file of lines, sent as the microphone's transcript",
    )
    try:
        asyncio.run(take_part(parser.parse_args()))
    except SidecarError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
