"""Training: facesets, crops, schedule, loop, state, reports."""
