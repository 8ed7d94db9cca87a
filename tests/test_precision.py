"""What --precision computes in, and that logits and everything a run keeps stay float32."""

import numpy as np
import pytest
from small_nets import needs_onednn

import slim_compat
from image_classifier import precision
from nets import nets_factory
from nets.batch_norm import batch_norm
from slim_compat import slim, tf
from slim_errors import UserError

CPU_INFO = 'processor\t: 0\nflags\t\t: fpu {}\n\nprocessor\t: 1\nflags\t\t: fpu {}\n'


@pytest.fixture
def machine(monkeypatch, tmp_path):
  """Makes this machine look like another: its processor's features, and what TensorFlow has."""

  def is_now(features, onednn=True, gpus=()):
    (tmp_path / 'cpuinfo').write_text(CPU_INFO.format(features, features))
    monkeypatch.setattr(precision, '_CPU_INFO', str(tmp_path / 'cpuinfo'))
    monkeypatch.setattr(slim_compat, 'has_onednn', lambda: onednn)
    monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: list(gpus))

  return is_now


@pytest.mark.parametrize('feature', ['amx_bf16', 'avx512_bf16'])
def test_auto_is_bfloat16_where_it_is_fast(machine, feature):
  machine(feature)
  assert precision.resolve('auto') == 'bfloat16'
  machine(feature, onednn=False)
  assert precision.resolve('auto') == 'float32'


def test_auto_is_float32_in_any_doubt(machine, monkeypatch):
  machine('avx2 avx512f avx512_bf16_of_another_kind')
  assert precision.resolve('auto') == 'float32'
  monkeypatch.setattr(precision, '_CPU_INFO', '/no/such/file')
  assert precision.resolve('auto') == 'float32'


def test_auto_is_float16_on_a_gpu(machine):
  machine('amx_bf16', gpus=['GPU:0'])
  assert precision.resolve('auto') == 'float16'
  assert precision.resolve('bfloat16') == 'bfloat16'
  assert precision.resolve('float32') == 'float32'


@pytest.mark.parametrize(
  ('op_types', 'expected'),
  [
    (['Conv2D'] * 3, 'bfloat16'),
    (['Conv2D', 'DepthwiseConv2dNative', 'Relu'], 'float32'),  # as mobilenet
    (['DepthwiseConv2dNative'] + ['Conv2D'] * 69, 'bfloat16'),  # as inception_v2
  ],
)
def test_auto_is_float32_for_depthwise_convolutions(machine, op_types, expected):
  machine('amx_bf16')
  assert precision.of_net('auto', op_types) == expected
  assert precision.of_net('bfloat16', op_types) == 'bfloat16'
  assert precision.of_net('float32', op_types) == 'float32'
  machine('amx_bf16', gpus=['GPU:0'])
  assert precision.of_net('auto', op_types) == 'float16'


def test_bfloat16_on_another_processor_is_slow(machine, caplog):
  machine('avx2')
  with caplog.at_level('WARNING', 'tensorflow'):
    assert precision.resolve('bfloat16') == 'bfloat16'
  assert 'neither AMX nor AVX512-BF16' in caplog.text


def test_bfloat16_without_onednn_is_refused(machine):
  machine('amx_bf16', onednn=False)
  with pytest.raises(UserError, match='--precision=bfloat16 needs oneDNN.*--precision=float32'):
    precision.resolve('bfloat16')


def test_unknown_names_are_refused():
  with pytest.raises(UserError, match="'bfloat16'.*auto, bfloat16, float32"):
    precision.resolve('bfloat61')


def test_it_is_said_in_one_line():
  assert precision.describe('float32') == 'Computing in float32.'
  for name in ('bfloat16', 'float16'):
    line = precision.describe(name)
    assert name in line and '--precision=float32' in line and '\n' not in line


def test_sessions_are_told():
  def rewrites(name):
    config = tf.ConfigProto()
    precision.configure(config, name)
    return config.graph_options.rewrite_options

  on = rewrites('float32').ON
  assert rewrites('float32') == tf.ConfigProto().graph_options.rewrite_options
  assert rewrites('bfloat16').auto_mixed_precision_onednn_bfloat16 == on
  assert rewrites('float16').auto_mixed_precision == on


def test_the_operations_that_make_the_logits_are_found():
  def names(*logits):
    return [op.name for op in precision.float32_ops(logits)]

  with tf.Graph().as_default():
    images = tf.zeros([1, 32, 32, 3])
    assert names(nets_factory.get_network_fn('cifarnet', 3)(images)[0]) == [
      'CifarNet/logits/MatMul'
    ]
    net = slim.conv2d(images, 4, 3)
    heads = [slim.conv2d(net, 3, 1, activation_fn=None, scope=scope) for scope in ('a', 'b')]
    squeezed = [tf.squeeze(head[:, :1, :1], [1, 2]) for head in heads]
    assert sorted(names(*squeezed)) == ['a/Conv2D', 'b/Conv2D']


def test_features_that_no_layer_made_have_none():
  with tf.Graph().as_default():
    assert precision.float32_ops([tf.nn.relu(tf.zeros([2, 3]))]) == []


def _is_rounded(array):
  """Whether every number of an array is one of bfloat16, which lacks the lower 16 bits."""
  return not (np.asarray(array, np.float32).view(np.uint32) & 0xFFFF).any()


def _session(name):
  config = tf.ConfigProto()
  precision.configure(config, name)
  return tf.Session(config=config)


def _network(images, is_training):
  """Returns logits [b, 10] of two convolutions with batch norm and one without."""
  norm = {'is_training': is_training, 'decay': 0.9, 'updates_collections': None}
  with slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(1e-4)):
    with slim.arg_scope([slim.conv2d], normalizer_fn=batch_norm, normalizer_params=norm):
      net = slim.repeat(images, 2, slim.conv2d, 16, 3)
    net = tf.reduce_mean(net, [1, 2], keepdims=True)
    return tf.squeeze(slim.conv2d(net, 10, 1, activation_fn=None), [1, 2])


@needs_onednn
def test_logits_are_not_rounded():
  with tf.Graph().as_default(), _session('bfloat16') as session:
    tf.set_random_seed(0)
    images = tf.placeholder(tf.float32, [None, 16, 16, 3])
    logits = _network(images, is_training=False)
    session.run(tf.global_variables_initializer())
    fed = {images: np.random.default_rng(0).uniform(-1, 1, [4, 16, 16, 3])}
    rounded = session.run(logits, fed)
    exact = session.run([logits, precision.float32_ops([logits])], fed)[0]
  # That it computes in bfloat16 at all shows where nobody asks for the operation.
  assert _is_rounded(rounded)
  assert not _is_rounded(exact)
  np.testing.assert_allclose(exact, rounded, rtol=0.01, atol=0.01 * np.abs(exact).max())


@needs_onednn
def test_variables_losses_and_statistics_stay_float32():
  with tf.Graph().as_default(), _session('bfloat16') as session:
    tf.set_random_seed(0)
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, [8, 16, 16, 3]), tf.float32)
    logits = _network(images, is_training=True)
    loss = tf.losses.sparse_softmax_cross_entropy(tf.range(8), logits)
    optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
    train = slim.learning.create_train_op(tf.losses.get_total_loss(), optimizer)
    session.run(tf.global_variables_initializer())
    fetches = [train, loss, tf.losses.get_regularization_loss(), precision.float32_ops([logits])]
    for _ in range(3):
      figures = session.run(fetches)[:3]
    kept = session.run({v.op.name: v for v in tf.global_variables()})
  assert not any(map(_is_rounded, figures))
  kept.pop('global_step')
  assert {name.rpartition('/')[2] for name in kept} >= {'moving_mean', 'weights', 'Momentum'}
  for name, value in kept.items():
    assert value.dtype == np.float32 and not _is_rounded(value), name
