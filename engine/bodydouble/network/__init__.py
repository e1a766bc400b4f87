"""The comb network and how it lies on disk."""
