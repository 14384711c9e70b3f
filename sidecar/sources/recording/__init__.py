"""Recordings as a source: the video and audio of one file, in the order of media time, at full speed."""

from sidecar.sources.recording.probe import Recording, open_recording
from sidecar.sources.recording.reader import RecordingReader, end_s, read_recording

__all__ = ["Recording", "RecordingReader", "end_s", "open_recording", "read_recording"]
