"""What is inside a recording: facts, tags as a splice, transcoding, waveform peaks."""
