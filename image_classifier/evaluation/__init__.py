"""What a checkpoint is worth: predictions of a split, metrics, reports, comparisons."""
