"""Draws the curve of a learning-rate range test."""

import math

from PIL import Image, ImageDraw, ImageFont

_SIZE = (960, 600)
_LEFT, _TOP, _RIGHT, _BOTTOM = 90, 56, 930, 530  # pixels, of the axes
_FONT_SIZE = 16
_RAW, _SMOOTHED, _MARK, _GRID = (190, 205, 220), (31, 97, 165), (200, 80, 30), (230, 230, 230)
# The chart ends where the loss is this much of the range up to the first loss above it.
_HEADROOM = 0.5


def draw(curve, suggestion):
  """Draws losses over the rate, on a logarithmic axis.

  Args:
    curve: rate_test.Curve of at least two steps.
    suggestion: the rate to mark, or None.

  Returns:
    A PIL RGB image.
  """
  image = Image.new('RGB', _SIZE, 'white')
  pen = ImageDraw.Draw(image)
  font = ImageFont.load_default(_FONT_SIZE)
  low, high = _loss_range(curve)
  scale = _Scale(curve.rates[0], curve.rates[-1], low, high)
  _draw_axes(pen, font, scale)
  for values, colour, width in ((curve.losses, _RAW, 1), (curve.smoothed, _SMOOTHED, 3)):
    points = [scale.point(*pair) for pair in zip(curve.rates, values, strict=True)]
    pen.line(points, colour, width, joint='curve')
  if suggestion is not None:
    x, _ = scale.point(suggestion, low)
    pen.line([(x, _TOP), (x, _BOTTOM)], _MARK, 2)
    anchor, shift = ('la', 8) if x < (_LEFT + _RIGHT) / 2 else ('ra', -8)
    pen.text((x + shift, _TOP + 6), f'suggested: {suggestion:.2g}', _MARK, font, anchor=anchor)
  title = 'Learning-rate range test: loss of each batch (light) and smoothed (dark)'
  pen.text((_LEFT, 20), title, 'black', font)
  return image


class _Scale:
  """Turns rates and losses into pixels; what is outside is drawn at the edge."""

  def __init__(self, first, last, low, high):
    self.decades = math.log10(first), math.log10(last)
    self.low, self.high = low, high

  def point(self, rate, loss):
    start, end = self.decades
    across = (math.log10(rate) - start) / (end - start)
    up = (min(max(loss, self.low), self.high) - self.low) / (self.high - self.low)
    return _LEFT + across * (_RIGHT - _LEFT), _BOTTOM - up * (_BOTTOM - _TOP)


def _loss_range(curve):
  """Returns the lowest and highest loss to show: an explosion would flatten all that matters."""
  low = min(curve.smoothed)
  before = max(curve.smoothed[: curve.lowest + 1])
  margin = max(before - low, 0.05 * abs(low), 1e-6)
  return max(low - 0.2 * margin, min(low, 0)), before + _HEADROOM * margin


def _draw_axes(pen, font, scale):
  start, end = scale.decades
  for exponent in range(math.ceil(start - 1e-9), math.floor(end + 1e-9) + 1):
    x, _ = scale.point(10.0**exponent, scale.low)
    pen.line([(x, _TOP), (x, _BOTTOM)], _GRID)
    label = f'{10.0**exponent:g}' if exponent >= -4 else f'1e{exponent}'
    pen.text((x, _BOTTOM + 8), label, 'black', font, anchor='ma')
  step = _round_step((scale.high - scale.low) / 6)
  for i in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1):
    _, y = scale.point(10.0**start, i * step)
    pen.line([(_LEFT, y), (_RIGHT, y)], _GRID)
    pen.text((_LEFT - 8, y), f'{i * step:.4g}', 'black', font, anchor='rm')
  pen.rectangle([_LEFT, _TOP, _RIGHT, _BOTTOM], outline='gray')
  middle = (_LEFT + _RIGHT) / 2
  pen.text((middle, _BOTTOM + 36), 'learning rate (logarithmic)', 'black', font, anchor='ma')
  pen.text((16, _TOP - 8), 'loss', 'black', font, anchor='ls')


def _round_step(least):
  """Returns the smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
  power = 10.0 ** math.floor(math.log10(least))
  return next(f * power for f in (1, 2, 5, 10) if f * power >= least * (1 - 1e-9))
