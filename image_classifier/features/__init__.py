"""Cached features: the frozen part of a net, its outputs on the disk, batches of them."""
