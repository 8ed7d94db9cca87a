"""A training run: flags, recipes, the net and its graph, the loop, and what it writes."""
