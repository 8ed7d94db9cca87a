"""How weights are updated: optimizers, schedules, what counts how much in the loss."""
