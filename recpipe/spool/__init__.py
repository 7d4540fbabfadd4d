"""Files a PBX left for us: when they are finished, what their names and sidecars say."""
