"""Every setting of a training run with its default; the command's flags bear the same names."""

import dataclasses

from preprocessing.augmentation import Augmentation


@dataclasses.dataclass(frozen=True)
class TrainingOptions(Augmentation):
  """Settings of training.runs.train; those of its views are Augmentation's.

  Rates are per step, sizes in pixels, times in seconds unless they are minutes by name.
  """

  # Where to and what from.
  train_dir: str = '/tmp/tfmodel/'
  dataset_name: str | None = None  # None: what dataset_dir says of itself
  dataset_split_name: str = 'train'
  dataset_dir: str | None = None
  labels_offset: int = 0
  recipe: str = 'legacy'  # that chose what the flags leave out
  # The net and its start.
  model_name: str = 'inception_v3'
  preprocessing_name: str | None = None  # None: the net's own
  train_image_size: int | None = None  # None: the net's own
  use_grayscale: bool = False
  checkpoint_path: str | None = None
  checkpoint_exclude_scopes: str | None = None
  trainable_scopes: str | None = None  # None: everything
  finetune: str | None = None  # head, from:SCOPE or all; None: the two flags above
  ignore_missing_vars: bool = False
  batch_norm: str = 'auto'
  batch_norm_decay: float | None = None  # None: fitted to the run's length
  recalibrate_batch_norm: bool = False
  # The length and speed of the run.
  max_number_of_steps: int | None = None  # None: until stopped
  max_epochs: float | None = None
  max_minutes: float | None = None
  retry_on_nan: int = 0  # times
  batch_size: int = 32
  balanced_sampling: bool = False
  accumulate_steps: int = 1  # batches an update of the weights
  seed: int = 0
  num_readers: int = 4
  num_preprocessing_threads: int | None = None  # None: one a core, at least 4
  clone_on_cpu: bool = False
  precision: str = 'auto'
  cache_features: str = 'auto'
  cached_views: int | None = None  # None: those of the run, else 1
  cache_dir: str | None = None  # None: in dataset_dir
  # Loss and optimizer.
  weight_decay: float = 0.00004
  label_smoothing: float = 0.0
  class_weights: str = 'none'
  mixup_alpha: float = 0.0
  cutmix_alpha: float = 0.0
  random_erasing: float = 0.0
  dropout_keep_prob: float | None = None  # None: the net's own
  drop_path: float | None = None  # None: the net's own
  moving_average_decay: float | None = None
  optimizer: str = 'rmsprop'
  opt_epsilon: float | None = None  # None: 1, 1e-8 for adamw, 1e-6 for lamb
  adadelta_rho: float = 0.95
  adagrad_initial_accumulator_value: float = 0.1
  adam_beta1: float = 0.9
  adam_beta2: float = 0.999
  ftrl_learning_rate_power: float = -0.5
  ftrl_initial_accumulator_value: float = 0.1
  ftrl_l1: float = 0.0
  ftrl_l2: float = 0.0
  momentum: float = 0.9
  rmsprop_momentum: float = 0.9
  rmsprop_decay: float = 0.9
  decoupled_weight_decay: float | None = None  # None: 0, 0.01 for adamw and lamb
  clip_gradient_norm: float | None = None
  # Learning rate.
  learning_rate: float = 0.01
  learning_rate_decay_type: str = 'exponential'
  end_learning_rate: float | None = None  # None: 0.0001 for polynomial, 0 for the others
  learning_rate_decay_factor: float = 0.94
  num_epochs_per_decay: float | None = None  # None: 2 for exponential, else the whole run
  warmup_epochs: float = 0.0
  warmup_steps: int = 0
  layer_decay: float = 1.0
  head_lr_multiplier: float = 1.0
  # What is written when.
  log_every_n_steps: int = 10
  save_summaries_secs: int = 600
  save_interval_secs: int = 600
  # Evaluation while training.
  eval_every_steps: int | None = None
  eval_every_epochs: float | None = None
  eval_split: str = 'validation'
  best_metric: str = 'accuracy'
  early_stopping_patience: int | None = None  # evaluations; None: never stops early
