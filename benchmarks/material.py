"""What is measured on: images, their records, checkpoints and a frozen graph.

The real ones of the folder `shared` beside the checkout when that is there; else drawn images, and
untrained weights.
"""

import dataclasses
import os
import pathlib
import shutil

from benchmarks.machine import REPO
from slim_errors import RunError

SHARED = REPO.parent / 'shared'
_PRETRAINED = {
  'inception_v3': 'inception_v3.ckpt',
  'mobilenet_v2': 'mobilenet_v2_1.0_224.ckpt',
}
_QUICK_IMAGES = {'train': 8, 'validation': 4}  # a class
_FEW_IMAGES = {'train': 50, 'validation': 4}  # a class, of the data set that is cached
# Three runs of the network, which takes 32 images at a time: evaluation says that a batch is done
# when the run with its last image is, and would have computed some of the next with it.
_EVAL_BATCH = 96


@dataclasses.dataclass(frozen=True)
class Material:
  """Where everything lies, and how much of it a measurement uses."""

  folder: str  # for what a measurement leaves behind; gone after it
  images: str  # train/CLASS and validation/CLASS
  records: str  # the same as shards
  few_records: str  # shards of some of the images
  model_name: str
  image_size: int
  batch_size: int
  eval_batch_size: int
  num_classified: int  # pictures
  seconds: float  # of measuring in the steady state
  checkpoints: dict  # net -> prefix to start from
  trained: str  # prefix of a checkpoint of the net and the classes of the images
  graph: str  # the same as a frozen graph
  num_classes: int
  description: str  # of images and weights, in words


def prepare(folder, isolate, *, model_name, image_size, batch_size, start_models, quick):
  """Makes all material in a folder.

  Args:
    folder: an empty one.
    isolate: function that calls another one in a process of its own.
    model_name, image_size, batch_size: what is measured.
    start_models: nets whose start is measured too.
    quick: little of everything.

  Returns:
    Material.
  """
  images, kind = _images(folder, quick)
  records, few_records = f'{folder}/records', f'{folder}/few records'
  _copy_some(images, f'{folder}/few images')
  isolate(_convert, images=images, records=records)
  isolate(_convert, images=f'{folder}/few images', records=few_records)
  counts = {split: len(list(pathlib.Path(images, split).rglob('*.jpg'))) for split in _QUICK_IMAGES}
  num_classes = len(os.listdir(f'{images}/train'))
  checkpoints = {
    name: isolate(_start_of, folder=folder, model_name=name)
    for name in dict.fromkeys([model_name, *start_models])
  }
  net = {'model_name': model_name, 'image_size': image_size}
  trained, graph = isolate(
    _trained,
    folder=folder,
    records=records,
    start=checkpoints[model_name],
    num_classes=num_classes,
    **net,
  )
  pretrained = [name for name in checkpoints if _pretrained(name)]
  return Material(
    folder=folder,
    images=images,
    records=records,
    few_records=few_records,
    batch_size=batch_size,
    eval_batch_size=min(_EVAL_BATCH, counts['validation'] // 4),
    num_classified=min(320, counts['validation']),
    seconds=0.2 if quick else 5.0,
    checkpoints=checkpoints,
    trained=trained,
    graph=graph,
    num_classes=num_classes,
    **net,
    description=(
      f'{sum(counts.values())} {kind}; pretrained weights of {", ".join(pretrained) or "no net"}'
    ),
  )


def _images(folder, quick):
  """Returns the folder of the images, drawn when there are no real ones, and what they are."""
  from scripts import make_demo_images

  real = SHARED / 'data/satellite'
  if real.is_dir() and not quick:
    return str(real), 'satellite tiles'
  images = f'{folder}/images'
  make_demo_images.write_images(images, splits=_QUICK_IMAGES if quick else None)
  return images, 'drawn images'


def _copy_some(images, folder):
  """Copies the first images of every class."""
  for split, count in _FEW_IMAGES.items():
    for class_folder in sorted(pathlib.Path(images, split).iterdir()):
      target = pathlib.Path(folder, split, class_folder.name)
      target.mkdir(parents=True)
      for path in sorted(class_folder.glob('*.jpg'))[:count]:
        shutil.copy(path, target)


def run_command(module, *arguments):
  """Runs one of the project's commands in this process; RunError unless it ends well."""
  from image_classifier import command

  argv = [module.__name__, *map(str, arguments)]
  code = command.run(module.__doc__, module.FLAGS, module.main, argv)
  if code not in (command.EXIT_DONE, command.EXIT_INTERRUPTED):
    raise RunError(f'{module.__name__} ended with {code}.')


def _convert(images, records):
  import data_convert

  run_command(data_convert, '-t', images, f'--output_dir={records}', '--overwrite')


def _pretrained(model_name):
  """Returns the prefix of a pretrained checkpoint, None without one."""
  prefix = SHARED / 'pretrained' / _PRETRAINED.get(model_name, 'none')
  return str(prefix) if prefix.with_name(f'{prefix.name}.index').exists() else None


def _start_of(folder, model_name):
  """Returns the prefix of a checkpoint to start from, and writes an untrained one if need be."""
  found = _pretrained(model_name)
  return found or _write_checkpoint(f'{folder}/untrained-{model_name}', model_name, 1001)


def _write_checkpoint(folder, model_name, num_classes, start=None):
  """Writes model.ckpt-0 of a net, with what the checkpoint `start` holds; returns its prefix."""
  from image_classifier.training import warm_start
  from nets import net_info, nets_factory
  from slim_compat import slim, tf

  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(0)
    network_fn = nets_factory.get_network_fn(model_name, num_classes)
    size = network_fn.default_image_size
    network_fn(tf.zeros([1, size, size, 3]))
    step = tf.train.get_or_create_global_step()
    session.run(tf.global_variables_initializer())
    if start:
      info = net_info.net_info(model_name)
      plan = warm_start.plan(start, slim.get_model_variables(), info)
      tf.train.Saver(plan.restored).restore(session, start)
    os.makedirs(folder, exist_ok=True)
    return tf.train.Saver().save(session, f'{folder}/model.ckpt', step, write_meta_graph=False)


def _trained(folder, model_name, image_size, records, start, num_classes):
  """Writes a checkpoint of the net for the classes of the records, and a frozen graph of it."""
  import export_inference_graph
  import freeze_graph

  prefix = _write_checkpoint(f'{folder}/trained', model_name, num_classes, start)
  exported, frozen = f'{folder}/graph.pb', f'{folder}/frozen.pb'
  run_command(
    export_inference_graph,
    f'--model_name={model_name}',
    f'--image_size={image_size}',
    f'--dataset_dir={records}',
    f'--output_file={exported}',
  )
  run_command(
    freeze_graph,
    f'--input_graph={exported}',
    f'--input_checkpoint={prefix}',
    f'--output_graph={frozen}',
  )
  return prefix, frozen
