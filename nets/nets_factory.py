"""All networks by name.

network_fn = nets_factory.get_network_fn('inception_v3', num_classes=6, is_training=True)
logits, end_points = network_fn(images)
"""

import functools
import inspect

from nets import (
  alexnet,
  cifarnet,
  i3d,
  inception,
  lenet,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3,
  nasnet,
  nasnet_layers,
  overfeat,
  pnasnet,
  resnet_v1,
  resnet_v2,
  s3dg,
  vgg,
)
from nets.batch_norm import batch_norm
from nets.dropout import dropout
from nets.net_info import net_info
from slim_compat import slim
from slim_errors import UserError

networks_map = {
  'alexnet_v2': alexnet.alexnet_v2,
  'cifarnet': cifarnet.cifarnet,
  'overfeat': overfeat.overfeat,
  'vgg_a': vgg.vgg_a,
  'vgg_16': vgg.vgg_16,
  'vgg_19': vgg.vgg_19,
  'inception_v1': inception.inception_v1,
  'inception_v2': inception.inception_v2,
  'inception_v3': inception.inception_v3,
  'inception_v4': inception.inception_v4,
  'inception_resnet_v2': inception.inception_resnet_v2,
  'i3d': i3d.i3d,
  's3dg': s3dg.s3dg,
  'lenet': lenet.lenet,
  'resnet_v1_50': resnet_v1.resnet_v1_50,
  'resnet_v1_101': resnet_v1.resnet_v1_101,
  'resnet_v1_152': resnet_v1.resnet_v1_152,
  'resnet_v1_200': resnet_v1.resnet_v1_200,
  'resnet_v2_50': resnet_v2.resnet_v2_50,
  'resnet_v2_101': resnet_v2.resnet_v2_101,
  'resnet_v2_152': resnet_v2.resnet_v2_152,
  'resnet_v2_200': resnet_v2.resnet_v2_200,
  'mobilenet_v1': mobilenet_v1.mobilenet_v1,
  'mobilenet_v1_075': mobilenet_v1.mobilenet_v1_075,
  'mobilenet_v1_050': mobilenet_v1.mobilenet_v1_050,
  'mobilenet_v1_025': mobilenet_v1.mobilenet_v1_025,
  'mobilenet_v2': mobilenet_v2.mobilenet,
  'mobilenet_v2_140': mobilenet_v2.mobilenet_v2_140,
  'mobilenet_v2_035': mobilenet_v2.mobilenet_v2_035,
  'mobilenet_v3_small': mobilenet_v3.small,
  'mobilenet_v3_large': mobilenet_v3.large,
  'mobilenet_v3_small_minimalistic': mobilenet_v3.small_minimalistic,
  'mobilenet_v3_large_minimalistic': mobilenet_v3.large_minimalistic,
  'mobilenet_edgetpu': mobilenet_v3.edge_tpu,
  'mobilenet_edgetpu_075': mobilenet_v3.edge_tpu_075,
  'nasnet_cifar': nasnet.build_nasnet_cifar,
  'nasnet_mobile': nasnet.build_nasnet_mobile,
  'nasnet_large': nasnet.build_nasnet_large,
  'pnasnet_large': pnasnet.build_pnasnet_large,
  'pnasnet_mobile': pnasnet.build_pnasnet_mobile,
}

arg_scopes_map = {
  'alexnet_v2': alexnet.alexnet_v2_arg_scope,
  'cifarnet': cifarnet.cifarnet_arg_scope,
  'overfeat': overfeat.overfeat_arg_scope,
  'vgg_a': vgg.vgg_arg_scope,
  'vgg_16': vgg.vgg_arg_scope,
  'vgg_19': vgg.vgg_arg_scope,
  'inception_v1': inception.inception_v3_arg_scope,
  'inception_v2': inception.inception_v3_arg_scope,
  'inception_v3': inception.inception_v3_arg_scope,
  'inception_v4': inception.inception_v4_arg_scope,
  'inception_resnet_v2': inception.inception_resnet_v2_arg_scope,
  'i3d': i3d.i3d_arg_scope,
  's3dg': s3dg.s3dg_arg_scope,
  'lenet': lenet.lenet_arg_scope,
  'resnet_v1_50': resnet_v1.resnet_arg_scope,
  'resnet_v1_101': resnet_v1.resnet_arg_scope,
  'resnet_v1_152': resnet_v1.resnet_arg_scope,
  'resnet_v1_200': resnet_v1.resnet_arg_scope,
  'resnet_v2_50': resnet_v2.resnet_arg_scope,
  'resnet_v2_101': resnet_v2.resnet_arg_scope,
  'resnet_v2_152': resnet_v2.resnet_arg_scope,
  'resnet_v2_200': resnet_v2.resnet_arg_scope,
  'mobilenet_v1': mobilenet_v1.mobilenet_v1_arg_scope,
  'mobilenet_v1_075': mobilenet_v1.mobilenet_v1_arg_scope,
  'mobilenet_v1_050': mobilenet_v1.mobilenet_v1_arg_scope,
  'mobilenet_v1_025': mobilenet_v1.mobilenet_v1_arg_scope,
  'mobilenet_v2': mobilenet_v2.training_scope,
  'mobilenet_v2_140': mobilenet_v2.training_scope,
  'mobilenet_v2_035': mobilenet_v2.training_scope,
  'mobilenet_v3_small': mobilenet_v3.training_scope,
  'mobilenet_v3_large': mobilenet_v3.training_scope,
  'mobilenet_v3_small_minimalistic': mobilenet_v3.training_scope,
  'mobilenet_v3_large_minimalistic': mobilenet_v3.training_scope,
  'mobilenet_edgetpu': mobilenet_v3.training_scope,
  'mobilenet_edgetpu_075': mobilenet_v3.training_scope,
  'nasnet_cifar': nasnet.nasnet_cifar_arg_scope,
  'nasnet_mobile': nasnet.nasnet_mobile_arg_scope,
  'nasnet_large': nasnet.nasnet_large_arg_scope,
  'pnasnet_large': pnasnet.pnasnet_large_arg_scope,
  'pnasnet_mobile': pnasnet.pnasnet_mobile_arg_scope,
}


def get_network_fn(
  name,
  num_classes,
  weight_decay=0.0,
  is_training=False,
  batch_norm_decay=None,
  is_frozen=None,
  dropout_keep_prob=None,
  drop_path=None,
  drop_path_steps=None,
):
  """Returns the function that builds a network.

  Args:
    name: key of `networks_map`.
    num_classes: number of classes; 0 or None makes the function return features, not logits.
    weight_decay: strength of the L2 regularization.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    batch_norm_decay: float in [0, 1), the decay of every moving average of batch normalization;
      None leaves the network's own.
    is_frozen: function of a batch normalization's scope ('InceptionV3/Conv2d_1a_3x3/BatchNorm');
      a layer for which it is true keeps its statistics and normalizes with them in training too.
    dropout_keep_prob: share of the activations that every dropout keeps; None leaves the network's
      own.
    drop_path: share of the paths that are dropped in the last cell of a NASNet or PNASNet; None
      leaves the network's own.
    drop_path_steps: steps over which that share is reached; None leaves the network's own.

  Returns:
    A function (images float32 [b, h, w, c], **arguments of the network) -> (logits, end points).
    Its attribute `default_image_size` is the h and w the network was made for. A network that has
    the argument `global_pool` gets it as True for images of any other size.

  Raises:
    UserError: for an unknown name, or a network without what is to be set.
  """
  info = net_info(name)
  if dropout_keep_prob is not None and not info.has_dropout:
    raise UserError(f'--dropout_keep_prob: {name} has no dropout; leave it out.')
  if drop_path is not None and not info.has_drop_path:
    raise UserError(
      f'--drop_path: {name} has none, only the NASNets and PNASNets do; leave it out.'
    )
  keep_path = None if drop_path is None else 1.0 - drop_path
  network = networks_map[name]
  size = network.default_image_size
  pools_globally = 'global_pool' in inspect.signature(network).parameters

  @functools.wraps(network)
  def network_fn(images, **kwargs):
    if pools_globally and images.shape.as_list()[-3:-1] != [size, size]:
      kwargs.setdefault('global_pool', True)
    with (
      slim.arg_scope(arg_scopes_map[name](weight_decay=weight_decay)),
      slim.arg_scope([batch_norm], is_frozen=is_frozen, decay_override=batch_norm_decay),
      slim.arg_scope([dropout], keep_prob_override=dropout_keep_prob),
      slim.arg_scope(
        [nasnet_layers.build_layers],
        drop_path_keep_prob=keep_path,
        drop_path_steps=drop_path_steps,
      ),
    ):
      return network(images, num_classes=num_classes, is_training=is_training, **kwargs)

  return network_fn
