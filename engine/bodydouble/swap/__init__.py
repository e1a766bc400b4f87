"""The swap: matte, blend, the frame's straight line, sequences, what a frame is made of."""
