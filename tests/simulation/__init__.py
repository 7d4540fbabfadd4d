"""The whole write path over a clock, a disk, a store, a database and writers that a seed decides on."""
