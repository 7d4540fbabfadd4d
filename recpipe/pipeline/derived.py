"""What is made of a recording's samples on its way in: an MP3 for tenants who store that, and the waveform."""

from __future__ import annotations

from pathlib import Path

from recpipe.model import AudioFacts


def as_mp3(path: Path, audio: AudioFacts, out: Path) -> AudioFacts | None:
    """The facts of the MP3 that was made at `out`; None, and no file, where nothing here decodes the recording."""
    from recpipe.audio import decode, transcode  # numpy takes 14 MB, and many an ingest node needs it never

    try:
        with out.open("wb") as stream:
            return transcode.to_mp3(path, audio, stream)
    except BaseException as error:
        out.unlink(missing_ok=True)
        if isinstance(error, decode.Undecodable):
            return None
        raise


def waveform(path: Path, audio: AudioFacts) -> bytes | None:
    """None where nothing here decodes the recording: no reason to refuse it."""
    from recpipe.audio import decode, peaks  # as for `as_mp3`

    try:
        return peaks.compute(path, audio)
    except decode.Undecodable:
        return None
