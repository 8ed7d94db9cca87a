"""Which net a checkpoint is of, and how many classes it knows, by names and shapes alone."""

from nets.net_info import NET_INFO

_C5 = 'block4/unit_3/bottleneck_v{}/conv3/weights'
_LAST_CELL = 'comb_iter_4/left/separable_3x3_2/pointwise_weights'
_V3_DEPTHWISE = 'MobilenetV3/expanded_conv_{}/depthwise/depthwise_weights'

# One variable of each net, late in its trunk, whose shape no other net has under that name. It
# depends neither on the classes nor on the size and channels of the images.
_LANDMARKS = {
  'alexnet_v2': ('alexnet_v2/conv5/weights', (3, 3, 384, 256)),
  'cifarnet': ('CifarNet/conv2/weights', (5, 5, 64, 64)),
  'overfeat': ('overfeat/conv5/weights', (3, 3, 1024, 1024)),
  'vgg_a': ('vgg_a/conv5/conv5_2/weights', (3, 3, 512, 512)),
  'vgg_16': ('vgg_16/conv5/conv5_3/weights', (3, 3, 512, 512)),
  'vgg_19': ('vgg_19/conv5/conv5_4/weights', (3, 3, 512, 512)),
  'inception_v1': ('InceptionV1/Mixed_5c/Branch_2/Conv2d_0b_3x3/weights', (3, 3, 48, 128)),
  'i3d': ('InceptionV1/Mixed_5c/Branch_2/Conv2d_0b_3x3/weights', (3, 3, 3, 48, 128)),
  's3dg': ('InceptionV1/Mixed_5c/Branch_2/Conv2d_0b_3x3/weights', (1, 3, 3, 48, 128)),
  'inception_v2': ('InceptionV2/Mixed_5c/Branch_3/Conv2d_0b_1x1/weights', (1, 1, 1024, 128)),
  'inception_v3': ('InceptionV3/Mixed_7c/Branch_3/Conv2d_0b_1x1/weights', (1, 1, 2048, 192)),
  'inception_v4': ('InceptionV4/Mixed_7d/Branch_3/Conv2d_0b_1x1/weights', (1, 1, 1536, 256)),
  'inception_resnet_v2': ('InceptionResnetV2/Conv2d_7b_1x1/weights', (1, 1, 2080, 1536)),
  'lenet': ('LeNet/conv2/weights', (5, 5, 32, 64)),
  **{
    f'resnet_v{v}_{depth}': (f'resnet_v{v}_{depth}/{_C5.format(v)}', (1, 1, 512, 2048))
    for v in (1, 2)
    for depth in (50, 101, 152, 200)
  },
  'mobilenet_v1': ('MobilenetV1/Conv2d_13_pointwise/weights', (1, 1, 1024, 1024)),
  'mobilenet_v1_075': ('MobilenetV1/Conv2d_13_pointwise/weights', (1, 1, 768, 768)),
  'mobilenet_v1_050': ('MobilenetV1/Conv2d_13_pointwise/weights', (1, 1, 512, 512)),
  'mobilenet_v1_025': ('MobilenetV1/Conv2d_13_pointwise/weights', (1, 1, 256, 256)),
  'mobilenet_v2': ('MobilenetV2/Conv_1/weights', (1, 1, 320, 1280)),
  'mobilenet_v2_140': ('MobilenetV2/Conv_1/weights', (1, 1, 448, 1792)),
  'mobilenet_v2_035': ('MobilenetV2/Conv_1/weights', (1, 1, 112, 1280)),
  'mobilenet_v3_large': (_V3_DEPTHWISE.format(14), (5, 5, 960, 1)),
  'mobilenet_v3_large_minimalistic': (_V3_DEPTHWISE.format(14), (3, 3, 960, 1)),
  'mobilenet_v3_small': (_V3_DEPTHWISE.format(10), (5, 5, 576, 1)),
  'mobilenet_v3_small_minimalistic': (_V3_DEPTHWISE.format(10), (3, 3, 576, 1)),
  'mobilenet_edgetpu': ('MobilenetEdgeTPU/Conv_1/weights', (1, 1, 192, 1280)),
  'mobilenet_edgetpu_075': ('MobilenetEdgeTPU/Conv_1/weights', (1, 1, 144, 1280)),
  'nasnet_cifar': (f'cell_17/{_LAST_CELL}', (1, 1, 128, 128)),
  'nasnet_mobile': (f'cell_11/{_LAST_CELL}', (1, 1, 176, 176)),
  'nasnet_large': (f'cell_17/{_LAST_CELL}', (1, 1, 672, 672)),
  'pnasnet_large': (f'cell_11/{_LAST_CELL}', (1, 1, 864, 864)),
  'pnasnet_mobile': (f'cell_8/{_LAST_CELL}', (1, 1, 216, 216)),
}


def nets_of(shapes):
  """Returns the names of the nets that variables belong to: one, or none for a foreign checkpoint.

  Args:
    shapes: {variable name: shape}, as checkpoints.variables returns it.
  """
  return [net for net, (name, shape) in _LANDMARKS.items() if tuple(shapes.get(name, ())) == shape]


def hint(shapes, net_info):
  """Returns 'it looks like resnet_v1_50: pass --model_name=resnet_v1_50', '' for no other net.

  Args:
    shapes: {variable name: shape} of a checkpoint that does not fit.
    net_info: the NetInfo of the net that it was meant for.
  """
  others = [name for name in nets_of(shapes) if NET_INFO.get(name) != net_info]
  if not others:
    return ''
  return f'it looks like {" and ".join(others)}: pass --model_name={others[0]}'


def num_classes(shapes, net_info):
  """Returns how many classes the logits have, None for variables without a head.

  Args:
    shapes: {variable name: shape}.
    net_info: the net's NetInfo.
  """
  head = net_info.head_prefixes[0]
  biases = [name for name in shapes if name.startswith(head) and name.endswith('/biases')]
  return shapes[biases[0]][0] if len(biases) == 1 else None
