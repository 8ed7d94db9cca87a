"""Where the published checkpoints of the nets lie, as research/slim's README names them.

A net that is missing here has none: alexnet_v2, overfeat, vgg_a, lenet, cifarnet, nasnet_cifar, the
resnets with 200 layers and the video nets never had, and the addresses of MobileNet EdgeTPU's ask
for a login.
"""

# The bucket behind http://download.tensorflow.org, by an address that is encrypted.
_SLIM = 'https://storage.googleapis.com/download.tensorflow.org/models'
_MOBILENET_V1 = f'{_SLIM}/mobilenet_v1_2018_02_22/mobilenet_v1'
_MOBILENET_V2 = 'https://storage.googleapis.com/mobilenet_v2/checkpoints/mobilenet_v2'
_MOBILENET_V3 = 'https://storage.googleapis.com/mobilenet_v3/checkpoints/v3'

CHECKPOINT_URLS = {
  'inception_v1': f'{_SLIM}/inception_v1_2016_08_28.tar.gz',
  'inception_v2': f'{_SLIM}/inception_v2_2016_08_28.tar.gz',
  'inception_v3': f'{_SLIM}/inception_v3_2016_08_28.tar.gz',
  'inception_v4': f'{_SLIM}/inception_v4_2016_09_09.tar.gz',
  'inception_resnet_v2': f'{_SLIM}/inception_resnet_v2_2016_08_30.tar.gz',
  'resnet_v1_50': f'{_SLIM}/resnet_v1_50_2016_08_28.tar.gz',
  'resnet_v1_101': f'{_SLIM}/resnet_v1_101_2016_08_28.tar.gz',
  'resnet_v1_152': f'{_SLIM}/resnet_v1_152_2016_08_28.tar.gz',
  'resnet_v2_50': f'{_SLIM}/resnet_v2_50_2017_04_14.tar.gz',
  'resnet_v2_101': f'{_SLIM}/resnet_v2_101_2017_04_14.tar.gz',
  'resnet_v2_152': f'{_SLIM}/resnet_v2_152_2017_04_14.tar.gz',
  'vgg_16': f'{_SLIM}/vgg_16_2016_08_28.tar.gz',
  'vgg_19': f'{_SLIM}/vgg_19_2016_08_28.tar.gz',
  'mobilenet_v1': f'{_MOBILENET_V1}_1.0_224.tgz',
  'mobilenet_v1_075': f'{_MOBILENET_V1}_0.75_224.tgz',
  'mobilenet_v1_050': f'{_MOBILENET_V1}_0.5_224.tgz',
  'mobilenet_v1_025': f'{_MOBILENET_V1}_0.25_224.tgz',
  'mobilenet_v2': f'{_MOBILENET_V2}_1.0_224.tgz',
  'mobilenet_v2_140': f'{_MOBILENET_V2}_1.4_224.tgz',
  'mobilenet_v2_035': f'{_MOBILENET_V2}_0.35_224.tgz',
  'mobilenet_v3_large': f'{_MOBILENET_V3}-large_224_1.0_float.tgz',
  'mobilenet_v3_small': f'{_MOBILENET_V3}-small_224_1.0_float.tgz',
  'mobilenet_v3_large_minimalistic': f'{_MOBILENET_V3}-large-minimalistic_224_1.0_float.tgz',
  'mobilenet_v3_small_minimalistic': f'{_MOBILENET_V3}-small-minimalistic_224_1.0_float.tgz',
  'nasnet_mobile': f'{_SLIM}/nasnet-a_mobile_04_10_2017.tar.gz',
  'nasnet_large': f'{_SLIM}/nasnet-a_large_04_10_2017.tar.gz',
  'pnasnet_mobile': f'{_SLIM}/pnasnet-5_mobile_2017_12_13.tar.gz',
  'pnasnet_large': f'{_SLIM}/pnasnet-5_large_2017_12_13.tar.gz',
}
