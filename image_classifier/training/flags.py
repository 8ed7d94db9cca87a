"""The flags of training: of each option its name, its default and what it is for."""

from image_classifier import command
from image_classifier.options import TrainingOptions
from image_classifier.training import recipes

FLAGS = command.new_flags()
_DEFAULTS = TrainingOptions()

_recipe = command.FlagGroup(FLAGS, 'Recipe')
_recipe.enum(
  'recipe',
  _DEFAULTS.recipe,
  list(recipes.RECIPES),
  'Chooses for the flags that are left out. head: the last layer of a pretrained net; fine_tune: '
  'that, then all layers; scratch: a net with new weights; legacy: the defaults below, which are '
  "research/slim's. Left out, what the run in --train_dir began with.",
)

_data = command.FlagGroup(FLAGS, 'Data set')
_data.string('dataset_dir', None, 'Folder of the shards (required).')
_data.string(
  'dataset_name',
  'imagenet',
  'Name of the data set; left out, the name that the files in --dataset_dir bear.',
)
_data.string('dataset_split_name', _DEFAULTS.dataset_split_name, 'Split to train on.')
_data.integer(
  'labels_offset',
  _DEFAULTS.labels_offset,
  'Subtracted from every label: 1 for a data set with a background class 0 and a net without.',
)
_data.integer('batch_size', _DEFAULTS.batch_size, 'Images a step.')
_data.integer(
  'accumulate_steps',
  _DEFAULTS.accumulate_steps,
  'Batches a step: their gradients are averaged, as if the batch were so many times larger; batch '
  'norm sees each by itself.',
)
_data.boolean(
  'balanced_sampling',
  _DEFAULTS.balanced_sampling,
  'As many images of every class in an epoch, which stays as long: those of small classes come '
  'several times.',
)
_data.integer('train_image_size', None, "Height and width in pixels; None is the net's own.")
_data.boolean('use_grayscale', False, 'Turn the images gray and train on one channel.')
_data.string('preprocessing_name', None, "Preprocessing by name; None is the net's own.")
_data.integer('num_readers', _DEFAULTS.num_readers, 'Shards read at the same time.')
_data.integer(
  'num_preprocessing_threads',
  4,
  'Images decoded and preprocessed at the same time; left out: one a core, at least 4. Changes no '
  'batch.',
)

_views = command.FlagGroup(FLAGS, "Training views; left out, the preprocessing's own")
_views.boolean('horizontal_flip', None, 'Mirror every other view; inception, vgg and cifarnet do.')
_views.boolean(
  'vertical_flip',
  _DEFAULTS.vertical_flip,
  'Show every other view upside down, as pictures from above.',
)
_views.string(
  'rotation',
  _DEFAULTS.rotation,
  'none; right_angles: turn the views by 0, 90, 180 or 270 degrees, each as often; or the greatest '
  'angle in degrees, such as 15, to turn them either way, with mirrored edges for corners.',
)
_views.float(
  'min_crop_area',
  None,
  'Least share of the picture that a view shows, above 0 up to 1: inception 0.1, vgg 0.19.',
)
_views.float(
  'brightness',
  None,
  'Greatest shift of the values, as a share of white, 0 to 1: inception 0.125, cifarnet 0.247, vgg '
  '0.',
)
_views.float(
  'saturation',
  None,
  'Greatest change of the saturation, 0 to 1; 0.5 draws factors from 0.5 to 1.5: inception 0.5, '
  'vgg 0.',
)
_views.float(
  'contrast', None, 'Greatest change of the contrast, likewise: cifarnet 0.8, inception and vgg 0.'
)
_views.float(
  'hue',
  None,
  'Greatest turn of the hues, as a share of the colour circle, 0 to 0.5: inception and vgg 0.',
)
_views.integer(
  'rand_augment',
  None,
  'RandAugment: so many operations, each one of 14, on every view; 2 is usual. What is left out of '
  '--brightness, --saturation and --contrast is then 0.',
)
_views.float(
  'rand_augment_magnitude',
  _DEFAULTS.rand_augment_magnitude,
  'How far the operations of --rand_augment go, 0 to 10.',
)

_start = command.FlagGroup(FLAGS, 'Net and start')
_start.string('model_name', _DEFAULTS.model_name, 'Net by name; a wrong one lists them all.')
_start.string(
  'train_dir',
  _DEFAULTS.train_dir,
  'Folder of checkpoints and event files; an old run goes on, with its values of what is left out.',
)
_start.string(
  'checkpoint_path',
  None,
  'Checkpoint to start from, a prefix or a folder; ignored when --train_dir holds one already.',
)
_start.string(
  'checkpoint_exclude_scopes',
  None,
  'Comma-separated; variables that start with one are not restored. A head of another size never '
  'is.',
)
_start.string(
  'trainable_scopes',
  None,
  'Comma-separated; only variables that start with one are trained. None trains all.',
)
_start.string(
  'finetune',
  None,
  'Instead of --trainable_scopes: head, all, or from:SCOPE for a block of the net and the rest.',
)
_start.boolean(
  'ignore_missing_vars', False, 'Variables that the checkpoint lacks start new instead of an error.'
)
_start.enum(
  'batch_norm',
  _DEFAULTS.batch_norm,
  ['auto', 'update', 'frozen'],
  'auto: frozen scopes keep their statistics, trained ones update theirs at a decay that fits the '
  "run; update: all update at the net's own decay, as research/slim did; frozen: none updates.",
)
_start.float(
  'batch_norm_decay', None, "Decay of batch norm's moving averages; None: as --batch_norm says."
)
_start.boolean(
  'recalibrate_batch_norm',
  _DEFAULTS.recalibrate_batch_norm,
  "Work out batch norm's statistics again, from 1,024 training images, for every checkpoint that "
  'is evaluated while training; the best one is kept with them. Without evaluations the last one '
  'is kept so in the folder recalibrated of --train_dir. Training goes on as it would.',
)

_length = command.FlagGroup(FLAGS, 'Length and files')
_length.integer('max_number_of_steps', None, 'Step to stop after; None trains until stopped.')
_length.float('max_epochs', None, 'Passes over the split to stop after; the lesser length counts.')
_length.float(
  'max_minutes',
  None,
  'Minutes of training to stop after, those of earlier starts with this flag included; the lesser '
  'length counts.',
)
_length.integer(
  'retry_on_nan',
  _DEFAULTS.retry_on_nan,
  'How often to go back to the last good checkpoint, with a tenth of the learning rate each time, '
  'when the loss is not a number any more; 0 stops.',
)
_length.integer('seed', _DEFAULTS.seed, 'Decides new weights, order and augmentation.')
_length.integer('log_every_n_steps', _DEFAULTS.log_every_n_steps, 'Steps between two log lines.')
_length.integer(
  'save_summaries_secs',
  _DEFAULTS.save_summaries_secs,
  'Seconds between two summaries for TensorBoard, 0 for none; histograms come every 60 s at most.',
)
_length.integer(
  'save_interval_secs',
  _DEFAULTS.save_interval_secs,
  'Seconds between two checkpoints, of which the newest five stay; 0 saves at the end only.',
)
_length.enum(
  'precision',
  _DEFAULTS.precision,
  ['auto', 'float32', 'bfloat16'],
  'What the net computes in; its variables, losses and logits are float32. auto: bfloat16 on a '
  'processor with AMX or AVX512-BF16, float16 with loss scaling on a GPU, float32 elsewhere.',
)

_validation = command.FlagGroup(FLAGS, 'Evaluation while training')
_validation.integer(
  'eval_every_steps',
  None,
  'Steps between two evaluations, and one at the end; the best checkpoint is kept in the folder '
  'best of --train_dir. None never evaluates.',
)
_validation.float('eval_every_epochs', None, 'The same in epochs, such as 0.5.')
_validation.string('eval_split', _DEFAULTS.eval_split, 'Split to evaluate on.')
_validation.enum(
  'best_metric',
  _DEFAULTS.best_metric,
  ['accuracy', 'loss'],
  'Which figure of the evaluations decides what is best.',
)
_validation.integer(
  'early_stopping_patience',
  None,
  'End the run after so many evaluations in a row without a new best one; None never does.',
)
_cache = command.FlagGroup(FLAGS, 'Feature cache')
_cache.enum(
  'cache_features',
  _DEFAULTS.cache_features,
  ['auto', 'on', 'off'],
  'Run every image through the frozen scopes once, and train the rest from what comes out: no new '
  'augmentation each epoch, and steps of milliseconds. auto: when the run sees more images than '
  'have to be computed.',
)
_cache.integer(
  'cached_views',
  None,
  'Views per image: 1 is the evaluation view, more are random training views; None is 1, or what '
  'the run in --train_dir began with.',
)
_cache.string('cache_dir', None, 'Folder of the cache; None is .feature_cache in --dataset_dir.')

_optimizer = command.FlagGroup(FLAGS, 'Optimizer')
_optimizer.string(
  'optimizer',
  _DEFAULTS.optimizer,
  'adadelta, adagrad, adam, adamw, ftrl, lamb, momentum, nesterov (momentum that looks ahead), sgd '
  'or rmsprop.',
)
_optimizer.float(
  'opt_epsilon',
  1.0,
  'Epsilon of adadelta, adam and rmsprop; of adamw (1e-8 when left out) and lamb (1e-6).',
)
_optimizer.float('adadelta_rho', _DEFAULTS.adadelta_rho, 'Decay rate of adadelta.')
_optimizer.float(
  'adagrad_initial_accumulator_value',
  _DEFAULTS.adagrad_initial_accumulator_value,
  "Start of adagrad's accumulators.",
)
_optimizer.float(
  'adam_beta1', _DEFAULTS.adam_beta1, 'Decay of the first moments of adam, adamw and lamb.'
)
_optimizer.float(
  'adam_beta2', _DEFAULTS.adam_beta2, 'Decay of the second moments of adam, adamw and lamb.'
)
_optimizer.float('ftrl_learning_rate_power', _DEFAULTS.ftrl_learning_rate_power, 'Power of ftrl.')
_optimizer.float(
  'ftrl_initial_accumulator_value',
  _DEFAULTS.ftrl_initial_accumulator_value,
  "Start of ftrl's accumulators.",
)
_optimizer.float('ftrl_l1', _DEFAULTS.ftrl_l1, 'L1 strength of ftrl.')
_optimizer.float('ftrl_l2', _DEFAULTS.ftrl_l2, 'L2 strength of ftrl.')
_optimizer.float(
  'momentum',
  _DEFAULTS.momentum,
  'Momentum of momentum and nesterov, and of rmsprop when --rmsprop_momentum is left out.',
)
_optimizer.float('rmsprop_momentum', _DEFAULTS.rmsprop_momentum, 'Momentum of rmsprop.')
_optimizer.float('rmsprop_decay', _DEFAULTS.rmsprop_decay, 'Decay of rmsprop.')
_optimizer.float('weight_decay', _DEFAULTS.weight_decay, 'L2 strength on the weights.')
_optimizer.float(
  'decoupled_weight_decay',
  None,
  'Share of every weight, times the learning rate, that an update takes off, whatever the '
  "gradient; biases and batch norm's keep theirs. None: 0.01 for adamw and lamb, 0 for the others.",
)
_optimizer.float(
  'clip_gradient_norm',
  None,
  'Scale the gradient down to this L2 norm over all weights where it is longer; None never does.',
)
_optimizer.float(
  'moving_average_decay',
  None,
  'Keep moving averages of the weights at this decay, for evaluation and export; it warms up from '
  '0.1 as (1 + step) / (10 + step). None keeps none.',
)

_loss = command.FlagGroup(FLAGS, 'Loss and regularization')
_loss.string(
  'class_weights',
  _DEFAULTS.class_weights,
  'How much the images of a class count: none (all alike), auto (the less the more there are, 1 on '
  'average), or name:weight,... with 1 for the classes left out.',
)
_loss.float('label_smoothing', _DEFAULTS.label_smoothing, 'Share of a label given to all.')
_loss.float(
  'mixup_alpha',
  _DEFAULTS.mixup_alpha,
  'Blend every image and its label with another, in shares drawn from Beta(alpha, alpha); 0 is '
  'off, 0.2 usual.',
)
_loss.float(
  'cutmix_alpha',
  _DEFAULTS.cutmix_alpha,
  'Replace a box of every image by that of another, and its label in the same share, drawn from '
  'Beta(alpha, alpha); 0 is off, 1 usual. With --mixup_alpha too each image takes one of them.',
)
_loss.float(
  'random_erasing',
  _DEFAULTS.random_erasing,
  'Probability, from 0 to 1, of setting a box of an image to 0, which is about the mean.',
)
_loss.float(
  'dropout_keep_prob',
  None,
  "Share of the activations that dropout keeps, above 0 up to 1; None is the net's own.",
)
_loss.float(
  'drop_path',
  None,
  'Share of the paths dropped in the last cell of a NASNet or PNASNet (stochastic depth), from 0 '
  'to below 1, reached at the last step, or at once where only minutes end the run; None is the '
  "net's own.",
)

_rate = command.FlagGroup(FLAGS, 'Learning rate')
_rate.float('learning_rate', _DEFAULTS.learning_rate, 'Initial learning rate.')
_rate.string(
  'learning_rate_decay_type',
  _DEFAULTS.learning_rate_decay_type,
  'fixed, exponential (a staircase), polynomial (linear), cosine, or one_cycle (up over the first '
  '30 %, then down, by cosines).',
)
_rate.float(
  'end_learning_rate',
  0.0001,
  'Where polynomial ends; where cosine and one_cycle do, 0 when left out.',
)
_rate.float(
  'learning_rate_decay_factor',
  _DEFAULTS.learning_rate_decay_factor,
  'Factor of a step of exponential.',
)
_rate.float(
  'num_epochs_per_decay',
  2.0,
  'Epochs of a step of exponential, or of the whole of polynomial, cosine and one_cycle, which fit '
  'the run when this is left out.',
)
_rate.float('warmup_epochs', _DEFAULTS.warmup_epochs, 'Epochs of linear warm-up from 0.')
_rate.integer('warmup_steps', _DEFAULTS.warmup_steps, 'Steps of it, instead of epochs.')
_rate.float(
  'layer_decay',
  _DEFAULTS.layer_decay,
  'Factor on the learning rate for every block of the net below the head; 1 trains all alike.',
)
_rate.float(
  'head_lr_multiplier', _DEFAULTS.head_lr_multiplier, "Factor on the head's learning rate."
)

_machines = command.FlagGroup(
  FLAGS, 'Several devices and machines (only --clone_on_cpu and the defaults work)'
)
_machines.boolean('clone_on_cpu', False, 'Train on the CPU although there is a GPU.')
_machines.string('master', '', 'Address of a TensorFlow master.')
_machines.integer('task', 0, 'Number of this replica.')
_machines.integer('num_clones', 1, 'Copies of the net on this machine.')
_machines.integer('worker_replicas', 1, 'Workers.')
_machines.integer('num_ps_tasks', 0, 'Parameter servers.')
_machines.boolean('sync_replicas', False, 'Synchronous workers.')
_machines.integer('replicas_to_aggregate', 1, 'Gradients an update.')
_machines.integer('quantize_delay', -1, 'Steps before training becomes quantization-aware.')
