"""Flags of training that change nothing beside the others; imports no TensorFlow."""

_ADAMS = ('adam', 'adamw', 'lamb')
# option -> the optimizers that use it.
_OF_OPTIMIZERS = {
  'opt_epsilon': (*_ADAMS, 'adadelta', 'rmsprop'),
  'adadelta_rho': ('adadelta',),
  'adagrad_initial_accumulator_value': ('adagrad',),
  'adam_beta1': _ADAMS,
  'adam_beta2': _ADAMS,
  'ftrl_learning_rate_power': ('ftrl',),
  'ftrl_initial_accumulator_value': ('ftrl',),
  'ftrl_l1': ('ftrl',),
  'ftrl_l2': ('ftrl',),
  'momentum': ('momentum', 'nesterov', 'rmsprop'),
  'rmsprop_momentum': ('rmsprop',),
  'rmsprop_decay': ('rmsprop',),
}
# option -> the schedules that use it.
_OF_SCHEDULES = {
  'learning_rate_decay_factor': ('exponential',),
  'num_epochs_per_decay': ('exponential', 'polynomial', 'cosine', 'one_cycle'),
  'end_learning_rate': ('polynomial', 'cosine', 'one_cycle'),
}
# option -> options without any of which it has nothing to do.
_NEEDS = {
  'rand_augment_magnitude': ('rand_augment',),
  'eval_split': ('eval_every_steps', 'eval_every_epochs'),
  'best_metric': ('eval_every_steps', 'eval_every_epochs'),
  'checkpoint_exclude_scopes': ('checkpoint_path',),
  'ignore_missing_vars': ('checkpoint_path',),
}


def sentences(options, given):
  """Returns a sentence about each of the flags that changes nothing.

  Args:
    options: options.TrainingOptions.
    given: names of the flags that were given.
  """
  reasons = {}
  for flag, users in (
    ('optimizer', _OF_OPTIMIZERS),
    ('learning_rate_decay_type', _OF_SCHEDULES),
  ):
    value = getattr(options, flag)
    for name in users:
      if value not in users[name]:
        reasons[name] = f'--{flag}={value} does not use it'
  for name, others in _NEEDS.items():
    if not any(getattr(options, other) for other in others):
      reasons[name] = f'give it along with {" or ".join(f"--{other}" for other in others)}'
  return [f'--{name} has no effect: {why}.' for name, why in reasons.items() if name in given]
