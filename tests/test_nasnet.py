"""NASNet and PNASNet: their layers, their drop path and what their configuration changes.

The networks here have few cells; tests/test_nets.py compares the whole ones with the originals.
"""

import numpy as np
import pytest

from nets import nasnet, nasnet_utils, nets_factory, pnasnet
from slim_compat import slim, tf

NUM_CLASSES = 10


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default() as graph:
    tf.set_random_seed(0)
    yield graph


def small(config, **settings):
  """Returns a configuration with three cells, two of them after a reduction, and no drop path."""
  changes = {'num_cells': 3, 'num_conv_filters': 8, 'drop_path_keep_prob': 1.0, **settings}
  for name, value in changes.items():
    config.set_hparam(name, value)
  return config


def build_cifar(num_classes=NUM_CLASSES, is_training=True, current_step=None, **settings):
  config = small(nasnet.cifar_config(), **settings)
  with slim.arg_scope(nasnet.nasnet_cifar_arg_scope()):
    return nasnet.build_nasnet_cifar(
      tf.zeros([2, 32, 32, 3]), num_classes, is_training, config, current_step
    )


def build_mobile(family, images=None, settings=None, **arguments):
  """Builds the three-cell form of the mobile network of a family, one of the two modules."""
  images = tf.zeros([2, 64, 64, 3]) if images is None else images
  config = small(family.mobile_imagenet_config(), **(settings or {}))
  name = family.__name__.rpartition('.')[2]
  with slim.arg_scope(getattr(family, f'{name}_mobile_arg_scope')()):
    return getattr(family, f'build_{name}_mobile')(images, NUM_CLASSES, config=config, **arguments)


def shapes(end_points):
  return {name: tensor.shape.as_list() for name, tensor in end_points.items()}


@pytest.mark.parametrize(
  'num_cells, num_reductions, cells',
  [(18, 2, [6, 12]), (12, 2, [4, 8]), (9, 2, [3, 6]), (10, 3, [2, 5, 7]), (5, 0, [])],
)
def test_reductions_divide_the_cells_evenly(num_cells, num_reductions, cells):
  assert nasnet_utils.calc_reduction_layers(num_cells, num_reductions) == cells


@pytest.mark.parametrize('data_format, index', [('NHWC', 3), ('NCHW', 1)])
def test_channels_are_found_in_both_formats(data_format, index):
  assert nasnet_utils.get_channel_index(data_format) == index
  assert nasnet_utils.get_channel_dim([2, 3, 4, 5], data_format) == [2, 3, 4, 5][index]
  with slim.arg_scope([nasnet_utils.get_channel_dim], data_format=data_format):
    assert nasnet_utils.get_channel_dim(tf.TensorShape([2, 3, 4, 5])) == [2, 3, 4, 5][index]


def test_global_pooling_averages_the_pixels_in_both_formats():
  images = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
  with tf.Session() as session:
    for data_format, axes in (('NHWC', (1, 2)), ('NCHW', (2, 3))):
      pooled = session.run(nasnet_utils.global_avg_pool(tf.constant(images), data_format))
      np.testing.assert_allclose(pooled, images.mean(axes), rtol=1e-5)


@pytest.mark.parametrize('stride, size', [(1, 7), (2, 4)])
def test_factorized_reduction_gives_the_channels_asked_for(stride, size):
  for data_format, shape, wanted in (
    ('NHWC', [2, 7, 7, 6], [2, size, size, 9]),
    ('NCHW', [2, 6, 7, 7], [2, 9, size, size]),
  ):
    scopes = [slim.conv2d, slim.batch_norm]
    with slim.arg_scope(scopes, data_format=data_format), tf.variable_scope(data_format):
      net = nasnet_utils.factorized_reduction(tf.zeros(shape), 9, stride, data_format)
    assert net.shape.as_list() == wanted


def test_factorized_reduction_reads_even_and_odd_pixels():
  image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
  with (
    slim.arg_scope(
      [slim.conv2d],
      weights_initializer=tf.ones_initializer(),
      biases_initializer=None,
      activation_fn=None,
    ),
    slim.arg_scope([slim.batch_norm], is_training=False),
    tf.Session() as session,
  ):
    net = nasnet_utils.factorized_reduction(tf.constant(image), 2, 2)
    session.run(tf.global_variables_initializer())
    even, odd = np.moveaxis(session.run(net)[0], -1, 0)
  np.testing.assert_allclose(even, [[0, 2], [8, 10]], rtol=1e-3)
  np.testing.assert_allclose(odd, [[5, 7], [13, 15]], rtol=1e-3)


def test_drop_path_drops_whole_examples_and_keeps_the_mean():
  net = tf.ones([2000, 2, 2, 3])
  with tf.Session() as session:
    values = session.run(nasnet_utils.drop_path(net, 0.8))
  assert (values == values[:, :1, :1, :1]).all()
  assert set(np.unique(values)) == {np.float32(0), np.float32(1.25)}
  assert values.mean() == pytest.approx(1, abs=0.05)


def test_drop_path_is_for_training_only():
  net = tf.ones([5, 2, 2, 3])
  assert nasnet_utils.drop_path(net, 0.5, is_training=False) is net


def test_drop_path_depends_on_seed_layer_and_step_alone():
  def dropped(seed, steps, ops_before=0):
    with tf.Graph().as_default(), tf.Session() as session:
      tf.set_random_seed(seed)
      step = tf.train.create_global_step()
      for _ in range(ops_before):
        tf.zeros([])
      paths = [nasnet_utils.drop_path(tf.ones([64, 1, 1, 1], name=name), 0.5) for name in 'ab']
      return [[v.tolist() for v in session.run(paths, {step: i})] for i in steps]

  first, second = dropped(7, [0, 1])
  assert first[0] != first[1]
  assert first[0] != second[0]
  assert dropped(7, [1], ops_before=3) == [second]
  assert dropped(8, [1]) != [second]


@pytest.mark.parametrize('given', [True, False])
def test_paths_are_dropped_more_often_later_in_net_and_training(given, monkeypatch):
  asked = []
  monkeypatch.setattr(nasnet_utils, 'drop_path', lambda net, keep: asked.append(keep) or net)
  step = tf.placeholder(tf.int64, []) if given else tf.train.create_global_step()
  cell = nasnet_utils.NasNetANormalCell(4, 0.6, total_num_cells=4, total_training_steps=100)
  images = tf.zeros([2, 8, 8, 4])
  for number in (0, 3):
    cell(images, f'cell_{number}', cell_num=number, current_step=step if given else None)
  # Ten operations a cell, two of them 'none'.
  assert len(asked) == 16
  with tf.Session() as session:
    for at, first, last in ((0, 1, 1), (50, 0.95, 0.8), (100, 0.9, 0.6), (1000, 0.9, 0.6)):
      np.testing.assert_allclose(session.run(asked, {step: at}), [first] * 8 + [last] * 8)


def test_end_points_of_a_small_network_have_their_shapes():
  logits, end_points = build_cifar()
  # 6 states of a normal cell or 4 of a reduction cell are concatenated; channels double.
  assert shapes(end_points) == {
    'Stem': [2, 32, 32, 24],
    'Cell_0': [2, 32, 32, 48],
    'Reduction_Cell_0': [2, 16, 16, 64],
    'Cell_1': [2, 16, 16, 96],
    'AuxLogits': [2, 10],
    'Reduction_Cell_1': [2, 8, 8, 128],
    'Cell_2': [2, 8, 8, 192],
    'global_pool': [2, 192],
    'Logits': [2, 10],
    'Predictions': [2, 10],
  }
  assert logits is end_points['Logits']


def test_data_format_orders_the_axes():
  logits, end_points = build_cifar(data_format='NCHW')
  assert end_points['Stem'].shape.as_list() == [2, 24, 32, 32]
  assert end_points['Cell_2'].shape.as_list() == [2, 192, 8, 8]
  assert logits.shape.as_list() == end_points['AuxLogits'].shape.as_list() == [2, NUM_CLASSES]


@pytest.mark.parametrize('settings', [{'use_aux_head': 0}, {'num_reduction_layers': 1}])
def test_auxiliary_head_can_be_left_out(settings):
  _, end_points = build_cifar(num_cells=2, **settings)
  assert 'AuxLogits' not in end_points
  assert not [v for v in tf.global_variables() if v.op.name.startswith('aux')]


@pytest.mark.parametrize('num_classes', [0, None])
def test_without_classes_it_gives_features(num_classes):
  features, end_points = build_cifar(num_classes, num_cells=2)
  assert features.op.name == 'final_layer/Mean'
  assert features.shape.as_list() == [2, 192]
  assert not {'Logits', 'AuxLogits', 'Predictions'} & set(end_points)


@pytest.mark.parametrize('bounded, activation', [(True, 'Relu6'), (False, 'Relu')])
def test_activations_are_all_bounded_or_none(graph, bounded, activation):
  build_cifar(num_cells=2, use_bounded_activation=bounded)
  types = {op.type for op in graph.get_operations()}
  assert {t for t in types if t.startswith('Relu')} == {activation}
  assert ('Minimum' in types) == bounded  # of clip_by_value


@pytest.mark.parametrize(
  'is_training, current_step, reads_global_step', [(1, None, 1), (1, 5, 0), (0, None, 0)]
)
def test_paths_are_dropped_in_training(is_training, current_step, reads_global_step, graph):
  _, end_points = build_cifar(
    is_training=is_training, current_step=current_step, num_cells=2, drop_path_keep_prob=0.6
  )
  assert any(op.type == 'Floor' for op in graph.get_operations()) == is_training
  assert ('AuxLogits' in end_points) == is_training
  assert (tf.train.get_global_step() is not None) == reads_global_step


@pytest.mark.parametrize(
  ('settings', 'step', 'kept'),
  [
    ({}, 468750, 0.8),  # the net's own: 0.6 after 937500 steps
    ({'drop_path': 0.5, 'drop_path_steps': 10}, 5, 0.75),
    ({'drop_path': 0.5, 'drop_path_steps': 10}, 20, 0.5),
    ({'drop_path': 0.0, 'drop_path_steps': 10}, 20, None),
  ],
)
def test_how_many_paths_the_last_cell_drops(settings, step, kept, monkeypatch):
  asked = []

  @slim.add_arg_scope
  def drop_path(net, keep_prob, is_training):
    asked.append(keep_prob)
    return net

  monkeypatch.setattr(nasnet_utils, 'drop_path', drop_path)
  config = small(
    nasnet.cifar_config(), num_cells=1, num_reduction_layers=0, drop_path_keep_prob=0.6
  )
  network_fn = nets_factory.get_network_fn('nasnet_cifar', 3, is_training=True, **settings)
  network_fn(tf.zeros([2, 32, 32, 3]), config=config, current_step=tf.constant(step))
  if kept is None:
    assert not asked
  else:
    with tf.Session() as session:
      assert session.run(asked[-1]) == pytest.approx(kept)


def test_configuration_stays_as_it_was():
  config = small(nasnet.cifar_config(), num_cells=1, drop_path_keep_prob=0.6)
  before = dict(vars(config))
  nasnet.build_nasnet_cifar(tf.zeros([2, 32, 32, 3]), 0, is_training=False, config=config)
  assert vars(config) == before


@pytest.mark.parametrize(
  'family, last, names',
  [
    (nasnet, 'Stem', ['Stem']),
    (nasnet, 'Reduction_Cell_0', ['Stem', 'Cell_0', 'Reduction_Cell_0']),
    (pnasnet, 'Cell_0', ['Stem', 'Cell_0']),
    (pnasnet, 'Logits', ['Stem', 'Cell_0', 'Cell_1', 'Cell_2', 'global_pool', 'Logits']),
  ],
)
def test_it_can_end_at_any_end_point(family, last, names):
  net, end_points = build_mobile(family, final_endpoint=last, settings={'use_aux_head': 0})
  assert list(end_points) == names
  assert net is end_points[last]
  assert tf.zeros([], name='root').op.name == 'root'


def test_an_unknown_end_point_is_refused():
  with pytest.raises(ValueError, match="No end point 'Cell_9'; there are Stem, Cell_0"):
    build_mobile(pnasnet, is_training=False, final_endpoint='Cell_9', settings={'num_cells': 1})


@pytest.mark.parametrize('family', [nasnet, pnasnet])
def test_batches_of_any_size_are_classified(family):
  images = tf.placeholder(tf.float32, [None, 64, 64, 3])
  logits, end_points = build_mobile(family, images, {'num_cells': 1}, is_training=False)
  assert logits.shape.as_list() == [None, NUM_CLASSES]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    predictions = session.run(end_points['Predictions'], {images: np.ones([3, 64, 64, 3])})
  np.testing.assert_allclose(predictions.sum(axis=1), [1, 1, 1], rtol=1e-5)


# A cell of the stem concatenates 4 (NASNet) or 5 (PNASNet) states of 2 and 4 channels, a cell
# after it 6 states of 8.
@pytest.mark.parametrize(
  'family, skips, layer, channels',
  [
    (nasnet, 0, 'path1_conv', 6 * 8),
    (nasnet, 1, 'path1_conv', 4 * 4),
    (pnasnet, 0, 'path1_conv', 5 * 2),
    (pnasnet, 1, 'prev_1x1', 5 * 4),
  ],
)
def test_what_a_cell_reads_beside_its_input_can_skip_a_reduction(family, skips, layer, channels):
  build_mobile(family, final_endpoint='Cell_1', settings={'skip_reduction_layer_input': skips})
  first = next(v for v in tf.global_variables() if v.op.name.startswith('cell_1/'))
  assert first.op.name == f'cell_1/{layer}/weights'
  assert first.shape.as_list()[2] == channels


def test_variables_reside_where_they_were_built():
  for scope, device in (('on_cpu', '/device:CPU:0'), ('on_gpu', '/device:GPU:0')):
    with tf.variable_scope(scope), tf.device(device):
      build_mobile(nasnet, final_endpoint='Stem')
    variables = tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, scope=scope)
    assert {v.device for v in variables} == {device}


def test_settings_are_changed_by_name_and_type():
  config = nasnet.mobile_imagenet_config()
  config.set_hparam('drop_path_keep_prob', 1)
  assert isinstance(config.drop_path_keep_prob, float)
  with pytest.raises(ValueError, match="No setting 'num_cell'; there are data_format, "):
    config.set_hparam('num_cell', 3)
  with pytest.raises(ValueError, match="num_cells='3' is not of type int"):
    config.set_hparam('num_cells', '3')
