"""The preprocessing families, against recorded results and their promised distributions."""

import pathlib

import numpy as np
import pytest

import slim_errors
from nets import net_info
from preprocessing import inception_preprocessing, preprocessing_factory, vgg_preprocessing
from slim_compat import tf

_RECORDED = pathlib.Path(__file__).parents[2] / 'shared' / 'spec' / 'preprocessing.npz'
_FAMILIES = ('cifarnet', 'inception', 'inception_whole', 'lenet', 'vgg')
_NAMES = (
  'alexnet_v2 cifarnet overfeat vgg_a vgg_16 vgg_19 inception_v1 inception_v2 inception_v3 '
  'inception_v4 inception_resnet_v2 i3d s3dg lenet resnet_v1_50 resnet_v1_101 resnet_v1_152 '
  'resnet_v1_200 resnet_v2_50 resnet_v2_101 resnet_v2_152 resnet_v2_200 mobilenet_v1 '
  'mobilenet_v1_075 mobilenet_v1_050 mobilenet_v1_025 mobilenet_v2 mobilenet_v2_140 '
  'mobilenet_v2_035 mobilenet_v3_small mobilenet_v3_large mobilenet_v3_small_minimalistic '
  'mobilenet_v3_large_minimalistic mobilenet_edgetpu mobilenet_edgetpu_075 nasnet_cifar '
  'nasnet_mobile nasnet_large pnasnet_large pnasnet_mobile'
)


def _noise(height, width, channels=3):
  return np.random.RandomState(0).randint(0, 256, (height, width, channels)).astype(np.uint8)


def _run(function, picture, times=1, seed=None):
  """Applies `function` to a picture of unknown static size, `times` times over."""
  with tf.Graph().as_default():
    if seed is not None:
      tf.set_random_seed(seed)
    fed = tf.placeholder(tf.uint8, [None, None, picture.shape[-1]])
    result = function(fed)
    with tf.Session() as session:
      return [session.run(result, {fed: picture}) for _ in range(times)]


def _preprocess(name, picture, height, width, is_training=False, gray=False, **kwargs):
  fn = preprocessing_factory.get_preprocessing(name, is_training, gray)
  options = {key: kwargs.pop(key) for key in ('times', 'seed') if key in kwargs}
  return _run(lambda image: fn(image, height, width, **kwargs), picture, **options)


@pytest.mark.skipif(not _RECORDED.exists(), reason=f'{_RECORDED} is not there')
def test_evaluation_equals_the_recorded_results():
  with np.load(_RECORDED) as recorded:
    results = [name for name in recorded if not name.startswith('input_')]
    assert len(results) == 6
    for name in results:
      family, picture = name.split('_')
      expected = recorded[name]
      (actual,) = _preprocess(family, recorded[f'input_{picture}'], *expected.shape[:2])
      np.testing.assert_allclose(actual, expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
  ('family', 'edge', 'crop'), [('inception', 4, '0.875'), ('inception_whole', 0, 'none')]
)
def test_how_much_of_a_picture_evaluation_shows(family, edge, crop):
  ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3))
  (view,) = _preprocess(family, ramp, 64 - 2 * edge, 64 - 2 * edge)
  np.testing.assert_allclose(
    (view + 1) * 127.5, ramp[edge : 64 - edge, edge : 64 - edge], atol=0.01
  )
  assert crop in preprocessing_factory.describe(family)['crop']


def test_training_views_of_inception_whole_are_those_of_inception():
  views = [
    _preprocess(family, _noise(80, 90), 28, 28, is_training=True, times=3, seed=7)
    for family in ('inception', 'inception_whole')
  ]
  np.testing.assert_array_equal(*views)


def test_every_net_has_a_family():
  assert set(_NAMES.split()) | set(_FAMILIES) == set(preprocessing_factory.preprocessing_fn_map)


def test_every_net_has_the_family_that_net_info_says():
  for name, info in net_info.NET_INFO.items():
    assert preprocessing_factory.describe(name)['name'] == info.preprocessing, name
  for name, family in (('alexnet_v2', 'vgg'), ('resnet_v2_50', 'vgg'), ('i3d', 'inception')):
    assert preprocessing_factory.describe(name)['name'] == family
  assert preprocessing_factory.describe('nasnet_cifar')['name'] == 'cifarnet'


def test_an_unknown_name_is_answered_with_the_nearest():
  for function in (preprocessing_factory.get_preprocessing, preprocessing_factory.describe):
    with pytest.raises(slim_errors.UserError, match="'inception_v9': did you mean 'inception_v4'"):
      function('inception_v9')


@pytest.mark.parametrize('gray', [False, True])
@pytest.mark.parametrize('family', _FAMILIES)
def test_any_shape_of_picture_gives_a_finite_input(family, gray):
  for is_training in (False, True):
    fn = preprocessing_factory.get_preprocessing(family, is_training, gray)
    with tf.Graph().as_default():
      fed = tf.placeholder(tf.uint8, [None, None, 3])
      result = fn(fed, 24, 40)
      assert result.shape == (24, 40, 1 if gray else 3)
      with tf.Session() as session:
        for height, width in [(1, 1), (1, 20000), (20000, 1), (2, 3), (10, 9), (70, 60)]:
          values = session.run(result, {fed: _noise(height, width)})
          assert np.isfinite(values).all(), (height, width, is_training)


def test_one_channel_pictures_stay_as_they_are_in_grayscale():
  for family in _FAMILIES:
    (from_gray,) = _preprocess(family, _noise(60, 50, 1), 28, 28, gray=True)
    (from_rgb,) = _preprocess(family, np.repeat(_noise(60, 50, 1), 3, 2), 28, 28, gray=True)
    np.testing.assert_allclose(from_gray, from_rgb, atol=0.5 if family == 'vgg' else 1e-2)


@pytest.mark.parametrize('gray', [False, True])
@pytest.mark.parametrize('family', _FAMILIES)
def test_the_description_is_what_evaluation_does(family, gray):
  facts = preprocessing_factory.describe(family, gray)
  colour = np.array([200, 90, 30], np.uint8)
  (actual,) = _preprocess(family, np.tile(colour, (300, 300, 1)), 32, 32, gray=gray)
  pixel = colour @ [0.2989, 0.587, 0.114] if gray else colour
  if facts['standardization']:
    assert facts['mean'] is None and facts['scale'] is None
    pixels = np.tile(pixel, (32, 32, 1)).astype(np.float64)
    expected = (pixels - pixels.mean()) / max(pixels.std(), pixels.size**-0.5)
    expected = np.broadcast_to(expected, actual.shape)
  else:
    expected = np.broadcast_to((pixel - np.array(facts['mean'])) * facts['scale'], actual.shape)
  tolerance = 0.6 * (facts['scale'] or 1) if gray else 1e-4  # gray is rounded to 8 bit
  if family == 'cifarnet' and gray:
    tolerance = 1e-2
  np.testing.assert_allclose(actual, expected, atol=tolerance)
  assert facts['colour_order'] == ('GRAY' if gray else 'RGB')
  if facts['value_range']:
    low, high = facts['value_range']
    assert low <= actual.min() and actual.max() <= high


@pytest.mark.parametrize('family', _FAMILIES)
def test_training_views_are_random_and_follow_the_graph_seed(family):
  picture = _noise(80, 90)
  first = _preprocess(family, picture, 28, 28, is_training=True, times=3, seed=7)
  again = _preprocess(family, picture, 28, 28, is_training=True, times=3, seed=7)
  np.testing.assert_array_equal(first, again)
  (evaluation,) = _preprocess(family, picture, 28, 28)
  if family == 'lenet':
    np.testing.assert_array_equal(first[0], evaluation)
    return
  other = _preprocess(family, picture, 28, 28, is_training=True, seed=8)
  for view in (first[1], other[0], evaluation):
    assert np.abs(first[0] - view).mean() > 0.01


@pytest.mark.filterwarnings('ignore:Seed 3 from outer graph')  # it is the intended behaviour
def test_training_inside_tf_data_follows_the_graph_seed():
  def views(family):
    with tf.Graph().as_default():
      tf.set_random_seed(3)
      fn = preprocessing_factory.get_preprocessing(family, is_training=True)
      data = tf.data.Dataset.from_tensors(_noise(50, 60)).repeat(2).map(lambda i: fn(i, 28, 28))
      batch = tf.data.make_one_shot_iterator(data.batch(2)).get_next()
      with tf.Session() as session:
        return session.run(batch)

  for family in _FAMILIES:
    first, second = views(family)
    np.testing.assert_array_equal([first, second], views(family), err_msg=family)
    assert np.array_equal(first, second) == (family == 'lenet')


@pytest.mark.parametrize('family', _FAMILIES)
def test_a_seed_decides_the_view(family):
  picture = _noise(80, 90)
  fn = preprocessing_factory.get_preprocessing(family, is_training=True)
  first, again, other = (
    _run(lambda image, s=s: fn(image, 28, 28, seed=tf.constant(s, tf.int64)), picture)[0]
    for s in ([1, 2], [1, 2], [1, 3])
  )
  np.testing.assert_array_equal(first, again)
  assert np.array_equal(first, other) == (family == 'lenet')


@pytest.mark.parametrize('fast_mode', [True, False])
def test_inception_training_views_stay_in_range(fast_mode):
  views = _preprocess(
    'inception', _noise(64, 64), 32, 32, is_training=True, times=10, seed=1, fast_mode=fast_mode
  )
  assert np.min(views) >= -1.0 and np.max(views) <= 1.0
  assert np.std([view.mean() for view in views]) > 0.005


def test_inception_crops_between_a_twentieth_and_all_of_the_picture():
  # Columns count 0..255 from left to right, so a view's values tell where it was cut.
  ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
  with tf.Graph().as_default():
    tf.set_random_seed(2)
    crop = inception_preprocessing.training_crop(tf.constant(ramp), 64, 64)
    with tf.Session() as session:
      shapes = np.array([session.run(crop).shape[:2] for _ in range(60)], np.float64)
  areas, aspects = shapes.prod(1) / 256**2, shapes[:, 1] / shapes[:, 0]
  # A tenth of the box, which is the whole picture, is the sharper of the two lower bounds.
  assert 0.099 <= areas.min() < 0.3 and 0.8 < areas.max() <= 1.0
  assert 0.74 <= aspects.min() < 0.9 and 1.15 < aspects.max() <= 1.35


def test_vgg_cuts_what_the_whole_resized_picture_shows():
  # Columns count up, so a view's values tell where it was cut and at what scale.
  ramp = np.tile(np.linspace(0, 250, 300, dtype=np.float32)[None, :, None], (200, 1, 3))
  with tf.Graph().as_default():
    fn = preprocessing_factory.get_preprocessing('vgg', is_training=True)
    seed = tf.placeholder(tf.int64, [2])
    view = fn(tf.constant(ramp), 224, 224, seed=seed)
    with tf.Session() as session:
      views = [session.run(view, {seed: [0, number]}) for number in range(40)]
  rows = np.array([view[0, :, 0] for view in views]) + vgg_preprocessing.MEANS[0]
  steps = np.abs(np.diff(rows[:, 5:-5])).mean(1) * 299 / 250  # source columns a column of the view
  assert 200 / 512 * 0.98 < steps.min() < 0.45 and 0.68 < steps.max() < 200 / 256 * 1.02
  # Wherever it may lie, as often in the left part as in the right.
  middles = rows.mean(1) / 250
  assert 0.35 < np.mean(middles) < 0.65 and np.std(middles) > 0.08


def test_inception_options_reach_the_view():
  picture = _noise(64, 64)
  (whole,) = _preprocess('inception', picture, 64, 64, crop_image=False)
  np.testing.assert_allclose(whole, picture / 127.5 - 1, atol=1e-5)
  picture = np.zeros((64, 64, 3), np.uint8)
  picture[:16, :16] = 255
  boxed = _preprocess(
    'inception', picture, 8, 8, True, times=20, seed=1, bbox=[[[0.0, 0.0, 0.25, 0.25]]]
  )
  assert min(view.max() for view in boxed) > -0.5  # every crop shows some of the box


def test_vgg_side_follows_its_options():
  picture = _noise(300, 300)
  default = _preprocess('vgg', picture, 224, 224)[0]
  larger = _preprocess('vgg', picture, 224, 224, resize_side_min=300)[0]
  np.testing.assert_allclose(larger, picture[38:262, 38:262] - np.float32(vgg_preprocessing.MEANS))
  assert np.abs(default - larger).mean() > 1
  fixed = _preprocess(
    'vgg', picture, 300, 300, True, times=8, seed=1, resize_side_min=300, resize_side_max=300
  )
  pixels = picture - np.float32(vgg_preprocessing.MEANS)
  mirrored = [np.allclose(view, pixels[:, ::-1]) for view in fixed]
  assert 0 < sum(mirrored) < 8
  assert all(flip or np.allclose(view, pixels) for flip, view in zip(mirrored, fixed, strict=True))


def test_vgg_input_larger_than_its_side_still_fits():
  for is_training in (False, True):
    (view,) = _preprocess('vgg', _noise(100, 140), 600, 320, is_training)
    assert view.shape == (600, 320, 3)


def test_cifarnet_window_shifts_by_the_padding():
  picture = np.zeros((32, 32, 3), np.uint8)
  picture[16, 16] = 255
  views = _preprocess('cifarnet', picture, 32, 32, True, times=40, seed=5)
  rows = {int(view.sum(2).argmax() // 32) for view in views}
  assert rows <= set(range(12, 21)) and len(rows) > 5
  unpadded = _preprocess('cifarnet', picture, 32, 32, True, times=10, seed=5, padding=0)
  assert {int(view.sum(2).argmax() // 32) for view in unpadded} == {16}
