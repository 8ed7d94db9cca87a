"""The page of suspects: thumbnails of the images with label and guess."""

from image_classifier import html_page, inputs
from image_classifier.suspects import search
from slim_compat import tf

_FIRST_LINE = '<!doctype html><!-- slim-finetune suspects -->'
# The longer side of a thumbnail, in pixels, and the quality of its JPEG.
_SIDE, _QUALITY = 128, 80


def page(findings, dataset, limit):
  """Returns the page as text.

  Args:
    findings: search.Findings.
    dataset: slim.dataset.Dataset with the images.
    limit: suspects to show at most.
  """
  drawn = findings.suspects[:limit]
  thumbnails = _thumbnails(dataset, [suspect.index for suspect in drawn])
  sentences = [
    search.accuracy_line(findings),
    search.count_line(findings),
    f'Shown are {len(drawn)}, by the probability of what they look like less that of their label. '
    'Likely wrong is what looks like its guess at least as surely as the average image labelled so '
    '(confident learning, arXiv:1911.00068). Judge for yourself: nothing was changed.',
  ]
  parts = [f'<p>{html_page.escaped(sentence)}</p>' for sentence in sentences]
  parts += [
    html_page.figure(
      thumbnails[suspect.index],
      f'{rank}. {suspect.file}',
      f'label: {suspect.label} ({suspect.of_label:.3f})',
      f'looks like: {suspect.looks_like} ({suspect.of_looks_like:.3f})',
      *(['likely wrong'] if suspect.is_likely_wrong else []),
    )
    for rank, suspect in enumerate(drawn, 1)
  ]
  return html_page.page(_FIRST_LINE, 'Labels to look at', parts)


def _thumbnails(dataset, indices):
  """Returns {index of a record in the split: small JPEG} of some of its images."""
  wanted = set(indices)
  if not wanted:
    return {}

  def thumbnail(number, record):
    (image,) = dataset.decoder.decode(record, ['image'])
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.minimum(1.0, _SIDE / tf.reduce_max(sides))
    sides = tf.maximum(1, tf.cast(tf.round(sides * scale), tf.int32))
    image = tf.image.resize(tf.cast(image, tf.float32), sides, 'area')
    image = tf.saturate_cast(tf.round(image), tf.uint8)
    return number, tf.io.encode_jpeg(image, quality=_QUALITY)

  with tf.Graph().as_default(), tf.Session() as session:
    is_wanted = tf.constant([i in wanted for i in range(max(wanted) + 1)])
    split = tf.data.TFRecordDataset(inputs.shards(dataset)).enumerate().take(max(wanted) + 1)
    split = split.filter(inputs.as_it_is(lambda number, record: is_wanted[number]))
    split = split.map(inputs.as_it_is(thumbnail))
    next_one = tf.data.make_one_shot_iterator(split).get_next()
    return dict(session.run(next_one) for _ in wanted)
