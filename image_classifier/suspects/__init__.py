"""Images whose labels look wrong: found by a linear probe, listed, shown."""
