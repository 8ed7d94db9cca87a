"""What is written without TensorFlow is, byte for byte, what TensorFlow would have written."""

import pytest

from datasets import record_writer
from slim_compat import tf

_PICTURES = {
  'plain': (b'\xff\xd8\xff', 'JPEG', 0, 'dog', 6, 8, 'dog/1.jpg'),
  'long': (b'\x89PNG' * 50_000, 'PNG', 2**40, '城市', 128, 16384, 'a b/é.png'),
  'empty': (b'', 'JPEG', 127, '', 1, 1, ''),
  'a name that is no text': (b'x', 'png', 1, 'zero', 28, 28, 'zero/\udcff.png', 1),
}


def _with_tensorflow(encoded, image_format, label, class_name, height, width, filename, channels=3):
  features = {
    'image/encoded': encoded,
    'image/format': image_format,
    'image/class/label': label,
    'image/class/text': class_name,
    'image/height': height,
    'image/width': width,
    'image/colorspace': 'RGB' if channels == 3 else 'Grayscale',
    'image/channels': channels,
    'image/filename': filename,
  }
  example = tf.train.Example()
  for name, value in features.items():
    if isinstance(value, int):
      example.features.feature[name].int64_list.value.append(value)
    else:
      data = value.encode('utf-8', 'backslashreplace') if isinstance(value, str) else value
      example.features.feature[name].bytes_list.value.append(data)
  return example.SerializeToString(deterministic=True)


@pytest.mark.parametrize('name', _PICTURES)
def test_examples_are_those_of_protocol_buffers(name):
  assert record_writer.example(*_PICTURES[name]) == _with_tensorflow(*_PICTURES[name])


def test_files_are_those_of_tensorflow(tmp_path):
  data = [record_writer.example(*picture) for picture in _PICTURES.values()] + [b'']
  ours, theirs = tmp_path / 'ours', tmp_path / 'theirs'
  with record_writer.RecordWriter(ours) as writer, tf.io.TFRecordWriter(str(theirs)) as reference:
    for record in data:
      writer.write(record)
      reference.write(record)
  assert ours.read_bytes() == theirs.read_bytes()
