"""The features that a net's head reads, of every image of a split, from the feature cache."""

import os

import numpy as np

from image_classifier import checkpoints, clips, precision, run_record
from image_classifier.features import cache, cached_split, frozen_part, storage
from image_classifier.training import warm_start
from nets import nets_factory
from nets.net_info import net_info
from slim_compat import slim, tf
from slim_errors import RunError, UserError

# Rows of maps that are averaged together.
_ROWS_AT_ONCE = 256


def compute(
  dataset,
  dataset_dir,
  model_name,
  checkpoint_path,
  output_dir,
  preprocessing_name=None,
  precision_name='auto',
):
  """Runs every image of a split through a net up to its head, unless it was done before.

  Args:
    dataset: slim.dataset.Dataset.
    dataset_dir: its folder, which holds the cache.
    model_name: key of networks_map.
    checkpoint_path: a checkpoint or a folder of them; its head is not used.
    output_dir: folder of the cache where that of the data set cannot be written to.
    preprocessing_name: key of preprocessing_fn_map; None: that of the checkpoint's run, else the
      net's own. The size of the pictures is the run's too.
    precision_name: one of precision.PRECISIONS.

  Returns:
    records: cache.Records of the split.
    features: float32 [n, numbers]; maps are averaged over their positions.
    count: how many images were computed now.

  Raises:
    UserError, RunError: it cannot be done.
  """
  if 'encoded' not in dataset.decoder.list_items():
    raise UserError(f"{dataset_dir} cannot be judged: its decoder has no item 'encoded'.")
  prefix = checkpoints.resolve(checkpoint_path)
  channels = getattr(dataset, 'channels', 3)
  record = run_record.read(os.path.dirname(prefix) or '.') or {}
  record = record if record.get('model_name') == model_name else {}
  size = record.get('image_size') or net_info(model_name).default_image_size
  name = preprocessing_name or record.get('preprocessing_name') or model_name
  frozen = _below_head(prefix, model_name, size, dataset.num_classes, channels, precision_name)
  views = cache.Views({'name': name, 'use_grayscale': channels == 1}, size)
  root = cached_split.root_beside(dataset_dir, output_dir)
  records = cache.read_records(dataset)
  store = cache.open_store(root, dataset, frozen, views)
  try:
    count = cache.fill(store, dataset, frozen, views, records.images)
  except OSError as error:
    raise RunError(f'{store.folder} cannot be written to: {error.strerror}.') from None
  places = store.places([(image, 0) for image in records.images])
  parts = np.array_split(places, -(-len(places) // _ROWS_AT_ONCE))
  features = [np.concatenate(list(map(_pooled, store.gather(p))), axis=1) for p in parts]
  return records, np.concatenate(features), count


def _below_head(prefix, model_name, size, num_classes, channels, precision_name):
  """Returns the cache.Frozen of all of a net but its head."""
  info = net_info(model_name)
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, [None, size, size, channels], 'images')
    network_fn = nets_factory.get_network_fn(model_name, num_classes, is_training=False)
    logits, _ = network_fn(clips.as_input(images, model_name))
    plan = warm_start.plan(prefix, slim.get_model_variables(), info)
    computes_in = precision.of_net(precision_name, [op.type for op in graph.get_operations()])
    fixed = {name for name in plan.restored if not name.startswith(info.head_prefixes)}
    part = frozen_part.find(images, [logits], fixed)
  if not part.variables:
    raise UserError(f'{model_name} has no layers below its head whose features could be judged.')
  return cache.of_part(part, frozen_part.with_weights(part, prefix), computes_in)


def _pooled(features):
  """Returns stored features [n, ..., channels] as float32 [n, channels]."""
  features = storage.as_float32(features)
  return features.reshape(len(features), -1, features.shape[-1]).mean(axis=1, dtype=np.float32)
