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
_OF_CACHES = ('cached_views', 'cache_dir')


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
  reasons |= _because_of_what_is_trained(options)
  return [f'--{name} has no effect: {why}.' for name, why in reasons.items() if name in given]


def _because_of_what_is_trained(options):
  """Returns {option: why} of options that a run has no use for by what it trains and what not."""
  reasons = {}
  trains_all = not options.trainable_scopes and options.finetune in (None, 'all')
  if options.cache_features == 'off':
    reasons |= dict.fromkeys(_OF_CACHES, '--cache_features=off caches nothing')
  elif trains_all and options.recipe != 'fine_tune':
    reasons |= dict.fromkeys(_OF_CACHES, 'all layers are trained, so there is nothing to cache')
  if options.batch_norm == 'frozen':
    reasons['batch_norm_decay'] = '--batch_norm=frozen does not use it'
  if options.finetune == 'head':
    reasons['layer_decay'] = '--finetune=head trains the topmost layer alone'
  return reasons
