"""Every network of the factory: against the facts of the originals, and against net_info."""

import functools
import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest

from image_classifier.graphs import safety
from nets import (
  mobilenet_v1,
  mobilenet_v2,
  net_info,
  nets_factory,
  resnet_v1,
  resnet_v2,
  vgg,
)
from nets.inception import inception_v1_base, inception_v2_base, inception_v3
from slim_compat import tf
from slim_errors import UserError

NUM_CLASSES = 10  # of the facts; no layer of any network has ten channels
RELATIVE_ERROR = 1e-3
NETS = sorted(nets_factory.networks_map)
DEEP = {f'resnet_v{v}_{depth}' for v in (1, 2) for depth in (101, 152, 200)} | {
  'inception_resnet_v2',
  'inception_v4',
  'mobilenet_edgetpu',
  'mobilenet_v3_large_minimalistic',
  'mobilenet_v3_small_minimalistic',
  'nasnet_cifar',
  'nasnet_large',
  'nasnet_mobile',
  'pnasnet_large',
  'pnasnet_mobile',
}
# The same code as a shallower one.
DEEPEST = {f'resnet_v{v}_{depth}' for v in (1, 2) for depth in (152, 200)} | {
  'nasnet_large',
  'pnasnet_large',
}
# Widths of a net that is tested anyway.
WIDTHS = {f'mobilenet_v{name}' for name in ('1', '1_075', '1_050', '2', '2_140')} | {
  'mobilenet_edgetpu_075',
  'mobilenet_v3_large',
}
LIKE_ANOTHER = WIDTHS | {'inception_v2', 'resnet_v1_50'}
HARD = DEEP | LIKE_ANOTHER | {'i3d', 's3dg'}
HEAVY = HARD | {'alexnet_v2', 'overfeat', 'vgg_a', 'vgg_16', 'vgg_19'}


def slow(names, heavy, mark=pytest.mark.slow):
  """Marks the heavy ones among the names, as slow or as the zoo's."""
  return [pytest.param(n, marks=mark) if n in heavy else n for n in sorted(names)]


def build(name, size=None, batch=2, num_classes=NUM_CLASSES, arguments=None, **options):
  """Builds a network in the current graph: its input, logits and end points."""
  network_fn = nets_factory.get_network_fn(name, num_classes, **options)
  size = size or network_fn.default_image_size
  frames = [16] * net_info.net_info(name).is_video
  images = tf.placeholder(tf.float32, [batch, *frames, size, size, 3], name='input')
  logits, end_points = network_fn(images, **(arguments or {}))
  return SimpleNamespace(images=images, logits=logits, end_points=end_points)


def of_networks(form, names):
  """Runs a test for every name with a form of that network, which such tests in turn share."""
  return pytest.mark.parametrize(form, names, indirect=True, scope='module')


@pytest.fixture(scope='module')
def training_form(request):
  """What the training form of a network holds."""
  name, asked = request.param, set()  # `asked.add` returns None: no layer is frozen
  with tf.Graph().as_default() as graph:
    net = build(name, weight_decay=4e-5, is_training=True, is_frozen=asked.add)
    return SimpleNamespace(
      name=name,
      variables=[
        [v.op.name, v.shape.as_list(), v in tf.trainable_variables()] for v in tf.global_variables()
      ],
      num_regularization_losses=len(tf.losses.get_regularization_losses()),
      num_update_ops=len(graph.get_collection(tf.GraphKeys.UPDATE_OPS)),
      end_points=list(net.end_points),
      batch_norms=asked,
    )


@pytest.fixture(scope='module')
def inference_form(request):
  """The graph and the tensors of a network's inference form, for any batch size."""
  name = request.param
  with tf.Graph().as_default() as graph:
    net = build(name, batch=None)
    return SimpleNamespace(name=name, graph=graph, variables=tf.global_variables(), **vars(net))


def size_of(shape):
  return int(np.prod(shape))


@pytest.fixture
def manifest(shared):
  spec = importlib.util.spec_from_file_location('net_manifest', shared / 'spec/net_manifest.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def facts_of(shared):
  def read(name):
    return json.loads((shared / f'spec/nets/{name}.json').read_text(encoding='utf-8'))

  return read


def test_all_tables_have_the_same_names():
  assert list(nets_factory.networks_map) == list(nets_factory.arg_scopes_map)
  assert list(nets_factory.networks_map) == list(net_info.NET_INFO)


@pytest.mark.parametrize(
  'look_up', [net_info.net_info, lambda name: nets_factory.get_network_fn(name, 10)]
)
def test_unknown_name_names_the_nearest(look_up):
  with pytest.raises(UserError, match="did you mean 'inception_v3'"):
    look_up('inception_v33')


@of_networks(
  'training_form', [*slow(set(NETS) - DEEPEST, HARD), *slow(DEEPEST, DEEPEST, pytest.mark.zoo)]
)
class TestTrainingForm:
  def test_equals_the_facts(self, training_form, facts_of):
    facts, form = facts_of(training_form.name), training_form
    assert form.variables == facts['training_variables']
    assert form.num_regularization_losses == facts['num_regularization_losses']
    assert form.num_update_ops == facts['num_update_ops']

  def test_every_batch_norm_asks_whether_it_is_frozen(self, training_form):
    form = training_form
    statistics = {v.rsplit('/', 1)[0] for v, *_ in form.variables if v.endswith('/moving_mean')}
    assert form.batch_norms == statistics
    assert form.num_update_ops == 2 * len(statistics)

  def test_head_and_blocks_hold_every_variable_once_and_in_order(self, training_form):
    info, form = net_info.net_info(training_form.name), training_form
    scopes = [*info.blocks, *info.head_scopes]
    holders = [[s for s in scopes if v.startswith(f'{s}/')] for v, *_ in form.variables]
    assert all(len(holder) == 1 for holder in holders)
    order = list(dict.fromkeys(scope for (scope,) in holders))
    assert [scope for scope in order if scope not in info.head_scopes] == list(info.blocks)
    assert set(info.head_scopes) < set(order)

  def test_head_scopes_are_those_that_depend_on_the_classes(self, training_form):
    info, form = net_info.net_info(training_form.name), training_form
    of_classes = [v for v, shape, _ in form.variables if shape[-1:] == [NUM_CLASSES]]
    assert {next(s for s in info.head_scopes if v.startswith(f'{s}/')) for v in of_classes} == set(
      info.head_scopes
    )

  def test_auxiliary_head_is_the_one_named(self, training_form):
    aux = net_info.net_info(training_form.name).aux_end_point
    assert [p for p in training_form.end_points if p.lower().startswith('aux')] == [aux] * bool(aux)


@of_networks('inference_form', slow(NETS, HARD))
class TestInferenceForm:
  def test_nodes_are_where_net_info_says(self, inference_form):
    info, form = net_info.net_info(inference_form.name), inference_form
    assert form.images.shape.as_list()[-2] == info.default_image_size
    assert form.logits.op.name == info.logits_node
    assert form.logits.shape.as_list() == [None, NUM_CLASSES]
    nodes = {o.name for o in form.graph.get_operations() if o.type in ('Softmax', 'Reshape')}
    probabilities = [
      node for node in nodes if node.endswith(('redictions/Reshape_1', 'redictions'))
    ]
    assert probabilities == ([info.softmax_node] if info.softmax_node else [])
    assert not form.graph.get_collection(tf.GraphKeys.UPDATE_OPS)

  def test_operations_are_those_that_a_graph_may_hold(self, inference_form):
    operations = {operation.type for operation in inference_form.graph.get_operations()}
    assert operations <= safety.NETS

  def test_parameters_are_counted(self, inference_form):
    trainable = [v.shape.as_list() for v in inference_form.variables if v.trainable]
    per_class = sum(size_of(s) for s in trainable if s[-1] == NUM_CLASSES) // NUM_CLASSES
    total = sum(map(size_of, trainable)) + (1001 - NUM_CLASSES) * per_class
    assert net_info.net_info(inference_form.name).num_parameters == round(total / 1e6, 2)

  def test_equals_the_facts(self, inference_form, facts_of):
    facts, form = facts_of(inference_form.name), inference_form
    assert [v.op.name for v in form.variables] == facts['inference_variables']
    assert form.logits.op.name == facts['logits_node']
    assert [(point, tensor.op.name) for point, tensor in form.end_points.items()] == [
      (point['name'], point['node']) for point in facts['end_points']
    ]


@of_networks(
  'inference_form',
  [
    *slow(set(NETS) - DEEPEST - {'vgg_16', 'vgg_19'}, HEAVY),
    *slow(DEEPEST | {'vgg_16', 'vgg_19'}, HEAVY, pytest.mark.zoo),
  ],
)
def test_numbers_equal_the_facts(inference_form, facts_of, manifest):
  facts, form = facts_of(inference_form.name), inference_form
  with tf.Session(graph=form.graph) as session:
    feed = {
      v.initializer.inputs[1]: manifest.fill(v.op.name, v.shape.as_list()) for v in form.variables
    }
    session.run([v.initializer for v in form.variables], feed)
    batch = manifest.image_batch(facts['input_shape'])
    logits, points = session.run([form.logits, form.end_points], {form.images: batch})
  wanted = np.array(facts['logits'])
  assert np.abs(logits - wanted).max() < RELATIVE_ERROR * np.abs(wanted).max()
  for point in facts['end_points']:
    values = points[point['name']].astype(np.float64)
    assert list(values.shape) == point['shape'], point
    assert abs(values.mean() - point['mean']) < RELATIVE_ERROR * point['std'], point
    assert abs(values.std() - point['std']) < RELATIVE_ERROR * point['std'], point


@pytest.mark.parametrize(
  'name',
  [
    *slow(set(NETS) - DEEP, LIKE_ANOTHER | {'inception_v3'}),
    *slow(DEEP, DEEP, pytest.mark.zoo),
  ],
)
def test_builds_at_its_smallest_size_and_not_below(name):
  size = net_info.net_info(name).min_image_size
  with tf.Graph().as_default():
    assert build(name, size, is_training=True).logits.shape.as_list() == [2, NUM_CLASSES]
  if size > 1:
    with tf.Graph().as_default(), pytest.raises(ValueError, match='Negative dimension'):
      build(name, size - 1, is_training=True)


# One of each kind; the slow tests compare the variables of all.
@pytest.mark.parametrize(
  'name',
  [
    *slow(['inception_resnet_v2', 'inception_v4', 'nasnet_mobile', 'pnasnet_mobile'], DEEP),
    *('mobilenet_edgetpu', 'mobilenet_v3_large_minimalistic', 'mobilenet_v3_small_minimalistic'),
  ],
)
def test_a_deep_network_has_its_variables_at_its_smallest_size(name, facts_of):
  with tf.Graph().as_default():
    net = build(name, net_info.net_info(name).min_image_size)
    assert net.logits.shape.as_list() == [2, NUM_CLASSES]
    assert [v.op.name for v in tf.global_variables()] == facts_of(name)['inference_variables']


@pytest.mark.parametrize(
  'name, size, channels, rank',
  [
    ('lenet', None, 1024, 2),
    ('cifarnet', None, 192, 2),
    ('alexnet_v2', None, 4096, 4),
    ('overfeat', None, 4096, 4),
    ('vgg_a', 256, 4096, 4),
    ('inception_v1', 256, 1024, 4),
    ('inception_v2', 192, 1024, 4),
    ('inception_v3', None, 2048, 4),
    ('resnet_v2_50', 65, 2048, 4),
    ('mobilenet_v1_025', 192, 256, 4),
    ('mobilenet_v2_035', 96, 1280, 4),
  ],
)
def test_without_classes_it_gives_features(name, size, channels, rank):
  with tf.Graph().as_default():
    features = build(name, size, num_classes=0).logits
    assert features.shape.as_list() == [2, *[1] * (rank - 2), channels]
    heads = net_info.net_info(name).head_scopes
    assert not [v for v in tf.global_variables() if v.op.name.startswith(heads)]


@pytest.mark.parametrize('name', ['lenet', 'cifarnet', 'mobilenet_v2_035'])
def test_every_trainable_variable_gets_a_gradient(name):
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(0)
    net = build(name, 64, is_training=True)
    loss = tf.losses.sparse_softmax_cross_entropy([1, 2], net.logits)
    variables = tf.trainable_variables()
    gradients = tf.gradients(loss, variables)
    assert None not in gradients
    session.run(tf.global_variables_initializer())
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3))
    values = session.run(gradients, {net.images: images})
  # A beta may have the gradient 0: a batch norm further on takes the mean away again.
  for variable, value in zip(variables, values, strict=True):
    assert value.any() or variable.op.name.endswith('beta'), variable.op.name
    assert np.isfinite(value).all(), variable.op.name


IMAGE = [2, 224, 224, 3]
mobilenet_v1_to_4 = functools.partial(
  mobilenet_v1.mobilenet_v1_base, final_endpoint='Conv2d_4_pointwise'
)
mobilenet_v2_to_4 = functools.partial(mobilenet_v2.mobilenet_base, final_endpoint='layer_4')


@pytest.mark.parametrize(
  'function, arguments, shape',
  [
    (inception_v1_base, {'final_endpoint': 'Mixed_3b'}, [2, 28, 28, 256]),
    (
      inception_v2_base,
      {'final_endpoint': 'Mixed_3b', 'depth_multiplier': 0.5},
      [2, 28, 28, 128],
    ),
    (inception_v3, {'create_aux_logits': False, 'spatial_squeeze': False}, [2, 1, 1, 1000]),
    (mobilenet_v1.mobilenet_v1_base, {'output_stride': 8}, [2, 28, 28, 1024]),
    (mobilenet_v1_to_4, {}, [2, 28, 28, 256]),
    (mobilenet_v1_to_4, {'depth_multiplier': 0.01}, [2, 28, 28, 8]),
    (mobilenet_v1_to_4, {'depth_multiplier': 0.01, 'min_depth': 16}, [2, 28, 28, 16]),
    (mobilenet_v1_to_4, {'use_explicit_padding': True}, [2, 28, 28, 256]),
    (mobilenet_v2.mobilenet_base, {'output_stride': 16}, [2, 14, 14, 1280]),
    (mobilenet_v2_to_4, {}, [2, 56, 56, 24]),
    (mobilenet_v2_to_4, {'depth_multiplier': 0.5}, [2, 56, 56, 16]),
    (mobilenet_v2_to_4, {'depth_multiplier': 0.1, 'min_depth': 24}, [2, 56, 56, 24]),
    (mobilenet_v2_to_4, {'depth_multiplier': 0.5, 'divisible_by': 5}, [2, 56, 56, 15]),
    (mobilenet_v2_to_4, {'use_explicit_padding': True}, [2, 56, 56, 24]),
    (
      resnet_v2.resnet_v2_50,
      {'num_classes': 10, 'global_pool': False, 'output_stride': 8, 'spatial_squeeze': False},
      [2, 28, 28, 10],
    ),
    (vgg.vgg_a, {'fc_conv_padding': 'SAME', 'spatial_squeeze': False}, [2, 7, 7, 1000]),
  ],
)
def test_arguments_of_the_originals(function, arguments, shape):
  with tf.Graph().as_default():
    net, _ = function(tf.zeros(IMAGE), **arguments)
    assert net.shape.as_list() == shape


@pytest.mark.parametrize(
  'function, arguments, message',
  [
    (mobilenet_v1.mobilenet_v1_base, {'final_endpoint': 'Conv2d_99'}, 'Conv2d_99'),
    (mobilenet_v1.mobilenet_v1_base, {'output_stride': 7}, 'none of 8, 16 and 32'),
    (mobilenet_v1.mobilenet_v1_base, {'depth_multiplier': 0}, 'greater than zero'),
    (mobilenet_v2.mobilenet_base, {'output_stride': 7}, 'multiple of 2'),
    (mobilenet_v2.mobilenet_base, {'depth_multiplier': 0}, 'greater than zero'),
    (resnet_v1.resnet_v1_50, {'output_stride': 6}, 'not a multiple of 4'),
  ],
)
def test_wrong_arguments_are_refused(function, arguments, message):
  with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
    function(tf.zeros(IMAGE), **arguments)


@pytest.mark.parametrize('name', ['mobilenet_v1_025', 'mobilenet_v2_035'])
def test_a_network_can_be_used_twice(name):
  with tf.Graph().as_default():
    build(name)
    variables = tf.global_variables()
    build(name, arguments={'reuse': True})
    assert tf.global_variables() == variables
