"""Which family of preprocessing a net has, and how its views differ; imports no TensorFlow."""

from preprocessing import augmentation
from preprocessing.augmentation import Augmentation
from slim_errors import unknown

# name of a net, or of a family -> family.
FAMILIES = {
  'cifarnet': 'cifarnet',
  'inception': 'inception',
  'inception_whole': 'inception_whole',
  'lenet': 'lenet',
  'vgg': 'vgg',
  'alexnet_v2': 'vgg',
  'overfeat': 'vgg',
  'vgg_a': 'vgg',
  'vgg_16': 'vgg',
  'vgg_19': 'vgg',
  'resnet_v1_50': 'vgg',
  'resnet_v1_101': 'vgg',
  'resnet_v1_152': 'vgg',
  'resnet_v1_200': 'vgg',
  'resnet_v2_50': 'vgg',
  'resnet_v2_101': 'vgg',
  'resnet_v2_152': 'vgg',
  'resnet_v2_200': 'vgg',
  'inception_v1': 'inception',
  'inception_v2': 'inception',
  'inception_v3': 'inception',
  'inception_v4': 'inception',
  'inception_resnet_v2': 'inception',
  'i3d': 'inception',
  's3dg': 'inception',
  'mobilenet_v1': 'inception',
  'mobilenet_v1_075': 'inception',
  'mobilenet_v1_050': 'inception',
  'mobilenet_v1_025': 'inception',
  'mobilenet_v2': 'inception',
  'mobilenet_v2_140': 'inception',
  'mobilenet_v2_035': 'inception',
  'mobilenet_v3_small': 'inception',
  'mobilenet_v3_large': 'inception',
  'mobilenet_v3_small_minimalistic': 'inception',
  'mobilenet_v3_large_minimalistic': 'inception',
  'mobilenet_edgetpu': 'inception',
  'mobilenet_edgetpu_075': 'inception',
  'nasnet_cifar': 'cifarnet',
  'nasnet_mobile': 'inception',
  'nasnet_large': 'inception',
  'pnasnet_mobile': 'inception',
  'pnasnet_large': 'inception',
}

# How strongly training views are changed when nothing else is asked for; None is what a family
# does not have.
OWN = {
  'cifarnet': Augmentation(horizontal_flip=True, brightness=63 / 255, contrast=0.8, rand_augment=0),
  'inception': Augmentation(  # in the fast mode
    horizontal_flip=True,
    min_crop_area=0.1,
    brightness=32 / 255,
    saturation=0.5,
    contrast=0.0,
    hue=0.0,
    rand_augment=0,
  ),
  'lenet': Augmentation(horizontal_flip=False),
  # A view shows what the resize to a short side of 512 leaves in a window of 224.
  'vgg': Augmentation(
    horizontal_flip=True,
    min_crop_area=(224 / 512) ** 2,
    brightness=0.0,
    saturation=0.0,
    contrast=0.0,
    hue=0.0,
    rand_augment=0,
  ),
}
OWN['inception_whole'] = OWN['inception']


def family_of(name):
  """Returns the family of a net, or of a family itself; raises UserError for an unknown name."""
  if name not in FAMILIES:
    raise unknown('preprocessing_name', name, FAMILIES)
  return FAMILIES[name]


def completed(name, asked):
  """Returns the Augmentation `asked` for, with a family's own values where it is None.

  Args:
    name: of a net, or of a family.
    asked: Augmentation.

  Raises:
    UserError: for an unknown name, or an augmentation that the family cannot do.
  """
  family = family_of(name)
  augmentation.check(asked, OWN[family], family)
  return augmentation.completed(asked, OWN[family])
