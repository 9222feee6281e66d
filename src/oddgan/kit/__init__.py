"""What a detector is written with."""
