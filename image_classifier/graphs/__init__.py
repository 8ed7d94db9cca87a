"""Graph files: export, freezing, folding, sidecars, and what may run of those of others."""
