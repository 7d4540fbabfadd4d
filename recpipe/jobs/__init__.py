"""What is done in the background, by the clock and not by anybody's request."""
