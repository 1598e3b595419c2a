"""Features of a SUPERVISED CNN on real photos: a test bed, never a result."""
