"""Files of others: fetched, checked, unpacked; published data sets and checkpoints."""
