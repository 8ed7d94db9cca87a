"""What is known of every network without building it: sizes, nodes, scopes. No TensorFlow here."""

from typing import NamedTuple

from nets.checkpoint_urls import CHECKPOINT_URLS
from slim_errors import UserError, unknown


class NetInfo(NamedTuple):
  """Facts of one network. A scope holds the variables whose names start with it and a '/'."""

  default_image_size: int  # h and w the network was made for
  min_image_size: int  # the smallest h and w at which its training form can be built
  logits_node: str  # op of the logits in the inference form
  softmax_node: str | None  # op of the class probabilities, None where the network has none
  head_scopes: tuple  # hold every variable whose shape depends on the classes, auxiliary ones last
  aux_end_point: str | None  # end point with the auxiliary head's logits
  labels_offset: int  # 1 where the published checkpoint has no class for the background
  blocks: tuple  # scopes below the head in the order of the forward pass
  num_parameters: float  # millions, trainable, in the inference form with 1001 classes
  preprocessing: str  # its family of preprocessing, unless the user names another
  checkpoint_url: str | None = None  # archive of the published checkpoint, None without one
  is_video: bool = False  # whether the network reads clips [b, frames, h, w, c]
  has_dropout: bool = True
  has_drop_path: bool = False  # stochastic depth: whether whole paths are dropped in training

  @property
  def head_prefixes(self):
    """What the names of the head's variables start with, as str.startswith takes it."""
    return tuple(f'{scope}/' for scope in self.head_scopes)

  @property
  def auxiliary_prefixes(self):
    """What the names of the auxiliary head's variables start with, as str.startswith takes it."""
    return self.head_prefixes[1:]


def _under(root, names):
  return tuple(f'{root}/{name}' for name in names.split())


_CONV1_TO_FC7 = 'conv1 conv2 conv3 conv4 conv5 fc6 fc7'
_INCEPTION_V1_BLOCKS = (
  'Conv2d_1a_7x7 Conv2d_2b_1x1 Conv2d_2c_3x3 Mixed_3b Mixed_3c Mixed_4b Mixed_4c Mixed_4d '
  'Mixed_4e Mixed_4f Mixed_5b Mixed_5c'
)
_RESNET_V1_BLOCKS = 'conv1 block1 block2 block3 block4'
_RESNET_V2_BLOCKS = 'conv1 block1 block2 block3 block4 postnorm'
_MOBILENET_V1_BLOCKS = 'Conv2d_0 ' + ' '.join(
  f'Conv2d_{i}_depthwise Conv2d_{i}_pointwise' for i in range(1, 14)
)


def _mobilenet_blocks(num_blocks, num_convs):
  """Returns the scopes of a MobileNet from v2 on: a convolution, the blocks, the others."""
  blocks = ['expanded_conv', *(f'expanded_conv_{i}' for i in range(1, num_blocks))]
  return ' '.join(['Conv', *blocks, *(f'Conv_{i}' for i in range(1, num_convs))])


def _fully_convolutional(root, default_image_size, min_image_size, labels_offset, num_parameters):
  """Returns the facts of AlexNet, OverFeat or a VGG, which end at the logits."""
  return NetInfo(
    default_image_size=default_image_size,
    min_image_size=min_image_size,
    logits_node=f'{root}/fc8/squeezed',
    softmax_node=None,
    head_scopes=(f'{root}/fc8',),
    aux_end_point=None,
    labels_offset=labels_offset,
    blocks=_under(root, _CONV1_TO_FC7),
    num_parameters=num_parameters,
    preprocessing='vgg',
  )


def _resnet(root, blocks, labels_offset, num_parameters):
  return NetInfo(
    default_image_size=224,
    min_image_size=1,
    logits_node=f'{root}/SpatialSqueeze',
    softmax_node=f'{root}/predictions/Reshape_1',
    head_scopes=(f'{root}/logits',),
    aux_end_point=None,
    labels_offset=labels_offset,
    blocks=_under(root, blocks),
    num_parameters=num_parameters,
    preprocessing='vgg',
    has_dropout=False,
  )


def _mobilenet(root, logits, blocks, num_parameters):
  return NetInfo(
    default_image_size=224,
    min_image_size=1,
    logits_node=f'{root}/Logits/{logits}',
    softmax_node=f'{root}/Predictions/Reshape_1',
    head_scopes=(f'{root}/Logits',),
    aux_end_point=None,
    labels_offset=0,
    blocks=_under(root, blocks),
    num_parameters=num_parameters,
    preprocessing='inception',
  )


def _mobilenet_v1(num_parameters):
  return _mobilenet('MobilenetV1', 'SpatialSqueeze', _MOBILENET_V1_BLOCKS, num_parameters)


def _mobilenet_v2(num_parameters):
  return _mobilenet('MobilenetV2', 'output', _mobilenet_blocks(17, 2), num_parameters)


def _mobilenet_v3(num_blocks, num_parameters):
  return _mobilenet('MobilenetV3', 'output', _mobilenet_blocks(num_blocks, 3), num_parameters)


def _mobilenet_edgetpu(num_parameters):
  return _mobilenet('MobilenetEdgeTPU', 'output', _mobilenet_blocks(22, 2), num_parameters)


def _nasnet(default_image_size, min_image_size, blocks, aux_scope, num_parameters, preprocessing):
  """Returns the facts of a NASNet or a PNASNet, whose variables have no common scope."""
  return NetInfo(
    default_image_size=default_image_size,
    min_image_size=min_image_size,
    logits_node='final_layer/FC/BiasAdd',
    softmax_node='final_layer/predictions',
    head_scopes=('final_layer', aux_scope),
    aux_end_point='AuxLogits',
    labels_offset=0,
    blocks=blocks,
    num_parameters=num_parameters,
    preprocessing=preprocessing,
    has_drop_path=True,
  )


def _cells(begin, end):
  return tuple(f'cell_{i}' for i in range(begin, end))


def _nasnet_cells(n):
  stacks = [_cells(i * n, (i + 1) * n) for i in range(3)]
  return (*stacks[0], 'reduction_cell_0', *stacks[1], 'reduction_cell_1', *stacks[2])


_NASNET_CIFAR_STEM = ('l1_stem_3x3', 'l1_stem_bn')
_NASNET_STEM = ('conv0', 'conv0_bn', 'cell_stem_0', 'cell_stem_1')


def _video(num_parameters):
  """Returns the facts of a video network, whose scopes are those of Inception v1."""
  return NetInfo(
    default_image_size=224,
    min_image_size=1,
    logits_node='InceptionV1/Logits/SpatialSqueeze',
    softmax_node='InceptionV1/Logits/Predictions/Reshape_1',
    head_scopes=('InceptionV1/Logits',),
    aux_end_point=None,
    labels_offset=0,
    blocks=_under('InceptionV1', _INCEPTION_V1_BLOCKS),
    num_parameters=num_parameters,
    preprocessing='inception',
    is_video=True,
  )


NET_INFO = {
  'alexnet_v2': _fully_convolutional('alexnet_v2', 224, 195, 0, 50.31),
  'cifarnet': NetInfo(
    default_image_size=32,
    min_image_size=4,
    logits_node='CifarNet/logits/BiasAdd',
    softmax_node='CifarNet/Predictions/Reshape_1',
    head_scopes=('CifarNet/logits',),
    aux_end_point=None,
    labels_offset=0,
    blocks=_under('CifarNet', 'conv1 conv2 fc3 fc4'),
    num_parameters=1.95,
    preprocessing='cifarnet',
  ),
  'overfeat': _fully_convolutional('overfeat', 231, 231, 0, 145.71),
  'vgg_a': _fully_convolutional('vgg_a', 224, 224, 1, 132.87),
  'vgg_16': _fully_convolutional('vgg_16', 224, 224, 1, 138.36),
  'vgg_19': _fully_convolutional('vgg_19', 224, 224, 1, 143.67),
  'inception_v1': NetInfo(
    default_image_size=224,
    min_image_size=1,
    logits_node='InceptionV1/Logits/SpatialSqueeze',
    softmax_node='InceptionV1/Logits/Predictions/Reshape_1',
    head_scopes=('InceptionV1/Logits',),
    aux_end_point=None,
    labels_offset=0,
    blocks=_under('InceptionV1', _INCEPTION_V1_BLOCKS),
    num_parameters=6.62,
    preprocessing='inception',
  ),
  'inception_v2': NetInfo(
    default_image_size=224,
    min_image_size=1,
    logits_node='InceptionV2/Logits/SpatialSqueeze',
    softmax_node='InceptionV2/Predictions/Reshape_1',
    head_scopes=('InceptionV2/Logits',),
    aux_end_point=None,
    labels_offset=0,
    blocks=_under(
      'InceptionV2',
      'Conv2d_1a_7x7 Conv2d_2b_1x1 Conv2d_2c_3x3 Mixed_3b Mixed_3c Mixed_4a Mixed_4b Mixed_4c '
      'Mixed_4d Mixed_4e Mixed_5a Mixed_5b Mixed_5c',
    ),
    num_parameters=11.18,
    preprocessing='inception',
  ),
  'inception_v3': NetInfo(
    default_image_size=299,
    min_image_size=107,
    logits_node='InceptionV3/Logits/SpatialSqueeze',
    softmax_node='InceptionV3/Predictions/Reshape_1',
    head_scopes=('InceptionV3/Logits', 'InceptionV3/AuxLogits'),
    aux_end_point='AuxLogits',
    labels_offset=0,
    blocks=_under(
      'InceptionV3',
      'Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3 Mixed_5b Mixed_5c '
      'Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c',
    ),
    num_parameters=27.15,
    preprocessing='inception',
  ),
  'inception_v4': NetInfo(
    default_image_size=299,
    min_image_size=107,
    logits_node='InceptionV4/Logits/Logits/BiasAdd',
    softmax_node='InceptionV4/Logits/Predictions',
    head_scopes=('InceptionV4/Logits', 'InceptionV4/AuxLogits'),
    aux_end_point='AuxLogits',
    labels_offset=0,
    blocks=_under(
      'InceptionV4',
      'Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Mixed_3a Mixed_4a Mixed_5a Mixed_5b Mixed_5c '
      'Mixed_5d Mixed_5e Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_6f Mixed_6g Mixed_6h '
      'Mixed_7a Mixed_7b Mixed_7c Mixed_7d',
    ),
    num_parameters=46.01,
    preprocessing='inception',
  ),
  'inception_resnet_v2': NetInfo(
    default_image_size=299,
    min_image_size=107,
    logits_node='InceptionResnetV2/Logits/Logits/BiasAdd',
    softmax_node='InceptionResnetV2/Logits/Predictions',
    head_scopes=('InceptionResnetV2/Logits', 'InceptionResnetV2/AuxLogits'),
    aux_end_point='AuxLogits',
    labels_offset=0,
    blocks=_under(
      'InceptionResnetV2',
      'Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3 Mixed_5b Repeat '
      'Mixed_6a Repeat_1 Mixed_7a Repeat_2 Block8 Conv2d_7b_1x1',
    ),
    num_parameters=59.18,
    preprocessing='inception',
  ),
  'i3d': _video(13.31),
  's3dg': _video(10.13),
  'lenet': NetInfo(
    default_image_size=28,
    min_image_size=4,
    logits_node='LeNet/fc4/BiasAdd',
    softmax_node='Predictions/Reshape_1',
    head_scopes=('LeNet/fc4',),
    aux_end_point=None,
    labels_offset=0,
    blocks=_under('LeNet', 'conv1 conv2 fc3'),
    num_parameters=4.29,
    preprocessing='lenet',
  ),
  'resnet_v1_50': _resnet('resnet_v1_50', _RESNET_V1_BLOCKS, 1, 25.56),
  'resnet_v1_101': _resnet('resnet_v1_101', _RESNET_V1_BLOCKS, 1, 44.55),
  'resnet_v1_152': _resnet('resnet_v1_152', _RESNET_V1_BLOCKS, 1, 60.19),
  'resnet_v1_200': _resnet('resnet_v1_200', _RESNET_V1_BLOCKS, 1, 64.68),
  'resnet_v2_50': _resnet('resnet_v2_50', _RESNET_V2_BLOCKS, 0, 25.57),
  'resnet_v2_101': _resnet('resnet_v2_101', _RESNET_V2_BLOCKS, 0, 44.58),
  'resnet_v2_152': _resnet('resnet_v2_152', _RESNET_V2_BLOCKS, 0, 60.24),
  'resnet_v2_200': _resnet('resnet_v2_200', _RESNET_V2_BLOCKS, 0, 64.73),
  'mobilenet_v1': _mobilenet_v1(4.23),
  'mobilenet_v1_075': _mobilenet_v1(2.59),
  'mobilenet_v1_050': _mobilenet_v1(1.33),
  'mobilenet_v1_025': _mobilenet_v1(0.47),
  'mobilenet_v2': _mobilenet_v2(3.51),
  'mobilenet_v2_140': _mobilenet_v2(6.11),
  'mobilenet_v2_035': _mobilenet_v2(1.68),
  'mobilenet_v3_small': _mobilenet_v3(11, 2.54),
  'mobilenet_v3_large': _mobilenet_v3(15, 5.48),
  'mobilenet_v3_small_minimalistic': _mobilenet_v3(11, 2.05),
  'mobilenet_v3_large_minimalistic': _mobilenet_v3(15, 3.93),
  'mobilenet_edgetpu': _mobilenet_edgetpu(4.09),
  'mobilenet_edgetpu_075': _mobilenet_edgetpu(2.99),
  'nasnet_cifar': _nasnet(32, 9, _NASNET_CIFAR_STEM + _nasnet_cells(6), 'aux_11', 4.11, 'cifarnet'),
  'nasnet_mobile': _nasnet(224, 67, _NASNET_STEM + _nasnet_cells(4), 'aux_7', 5.29, 'inception'),
  'nasnet_large': _nasnet(331, 67, _NASNET_STEM + _nasnet_cells(6), 'aux_11', 88.76, 'inception'),
  'pnasnet_large': _nasnet(331, 67, _NASNET_STEM + _cells(0, 12), 'aux_7', 86.06, 'inception'),
  'pnasnet_mobile': _nasnet(224, 67, _NASNET_STEM + _cells(0, 9), 'aux_5', 5.07, 'inception'),
}

NET_INFO = {
  name: info._replace(checkpoint_url=CHECKPOINT_URLS.get(name)) for name, info in NET_INFO.items()
}


def net_info(name):
  """Returns the NetInfo of a network; raises UserError for an unknown name."""
  if name not in NET_INFO:
    raise unknown('model_name', name, NET_INFO)
  return NET_INFO[name]


def check_image_size(name, image_size):
  """Raises UserError when a network cannot be built for images of `image_size` pixels a side.

  None, for the network's own size, is fine for every name that there is.
  """
  smallest = net_info(name).min_image_size
  if image_size is not None and image_size < smallest:
    raise UserError(
      f'{name} cannot take images of {image_size} pixels a side: give at least {smallest}.'
    )
