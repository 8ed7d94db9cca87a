"""Draws the demo's image set: six kinds of land cover seen from above, as the tutorial's are.

Each picture is drawn from its own seeded random numbers, so the same seed gives the same files.
Texture tells the classes apart; the mean colour alone does not, as light, tint and haze vary more
from picture to picture than from class to class.

  python scripts/make_demo_images.py demo/images
"""

import argparse
import os
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ('glacier', 'rock', 'urban', 'water', 'wetland', 'wood')
SPLITS = {'train': 100, 'validation': 25}  # images a class
SIZE = 96  # pixels
JPEG_QUALITY = 90


def draw(class_name, seed):
  """Returns the picture of a class for a seed.

  Args:
    class_name: one of CLASSES.
    seed: int or sequence of ints; the same seed draws the same picture.

  Returns:
    Pillow image, RGB, SIZE x SIZE.
  """
  rng = np.random.default_rng(seed)
  return _photographed(rng, _PAINTERS[class_name](rng))


def write_images(folder, seed=0, splits=None):
  """Writes `folder/{train,validation}/<class>/<class>_NNNN.jpg` and returns how many images.

  Pictures that are there already stay as they are; a picture is never seen half written.

  Args:
    folder: path, made when missing.
    seed: another one draws another set.
    splits: {split: images a class}; None: SPLITS.
  """
  count = 0
  for split_index, (split, images) in enumerate((splits or SPLITS).items()):
    for class_index, class_name in enumerate(CLASSES):
      class_folder = pathlib.Path(folder, split, class_name)
      class_folder.mkdir(parents=True, exist_ok=True)
      for index in range(images):
        count += 1
        path = class_folder / f'{class_name}_{index:04d}.jpg'
        if not path.exists():
          temporary = path.with_suffix('.partial')
          image = draw(class_name, (seed, split_index, class_index, index))
          image.save(temporary, 'JPEG', quality=JPEG_QUALITY)
          os.replace(temporary, path)
  return count


def _noise(rng, cells, cells_across=None):
  """Returns smooth noise in [0, 1], float32 [SIZE, SIZE], with so many cells down and across."""
  grid = rng.random((cells + 1, (cells_across or cells) + 1), dtype=np.float32)
  smooth = Image.fromarray(grid).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
  return np.clip(np.asarray(smooth), 0, 1)


def _fractal(rng, cells, octaves):
  """Returns noise of several scales in [0, 1]: each scale twice as fine and half as strong."""
  total = sum(_noise(rng, cells * 2**i) / 2**i for i in range(octaves))
  return (total - total.min()) / (total.max() - total.min())


def _mix(dark, light, tone):
  """Returns colours between `dark` and `light` (RGB, 0 to 255) for tones [SIZE, SIZE] in [0, 1]."""
  tone = np.clip(tone, 0, 1)[..., None]
  return np.float32(dark) * (1 - tone) + np.float32(light) * tone


def _hillshade(height, strength):
  """Returns how a relief looks in light from the upper left: tone around 0.5."""
  down, across = np.gradient(height)
  return 0.5 + strength * (down + across)


def _stripes(rng, period, waviness):
  """Returns wavy parallel stripes in any direction: sine in [-1, 1], `period` in pixels."""
  angle = rng.uniform(0, np.pi)
  y, x = np.mgrid[:SIZE, :SIZE]
  along = x * np.cos(angle) + y * np.sin(angle) + waviness * _noise(rng, 3)
  return np.sin(2 * np.pi * along / period)


def _glacier(rng):
  """Snow with soft shadows, split by thin wavy crevasses."""
  snow = _mix((150, 165, 185), (240, 243, 246), 0.3 + 0.7 * _fractal(rng, 2, 3))
  crevasse = _stripes(rng, rng.uniform(12, 24), rng.uniform(20, 50))
  width = rng.uniform(0.03, 0.1)
  open_here = _noise(rng, 4) > rng.uniform(0.3, 0.5)
  return np.where(((crevasse > 1 - width) & open_here)[..., None], (85, 105, 135), snow)


def _rock(rng):
  """Rough relief lit from the side."""
  height = _fractal(rng, int(rng.integers(3, 6)), 5)
  tone = _hillshade(height, rng.uniform(3, 6)) + 0.3 * (height - 0.5)
  return _mix((70, 62, 55), (190, 175, 155), tone)


def _urban(rng):
  """Streets at right angles, and roofs with shadows between them, turned by any angle."""
  side = 2 * SIZE
  image = Image.new('RGB', (side, side), tuple(rng.integers(95, 130, 3)))
  pen = ImageDraw.Draw(image)
  block = int(rng.integers(22, 34))
  for top in range(0, side, block):
    for left in range(0, side, block):
      street = int(rng.integers(4, 8))
      ground = (60, 80, 45) if rng.random() < 0.4 else (125, 115, 100)
      pen.rectangle((left + street, top + street, left + block, top + block), fill=ground)
      for _ in range(int(rng.integers(1, 4))):
        y, x = rng.integers(street + 1, block - 10, 2)
        height, width = rng.integers(6, 14, 2)
        box = np.array([left + x, top + y, left + x + width, top + y + height])
        pen.rectangle(tuple(box + 2), fill=(35, 35, 40))
        roof = rng.choice([(215, 210, 205), (165, 90, 70), (120, 120, 130), (190, 175, 140)])
        pen.rectangle(tuple(box), fill=tuple(int(value) for value in roof))
  turned = image.rotate(rng.uniform(0, 90), Image.Resampling.BILINEAR)
  corner = SIZE // 2
  return np.asarray(turned.crop((corner, corner, corner + SIZE, corner + SIZE)), np.float32)


def _water(rng):
  """Ripples crossing one another on slow swell, now and then a shore."""
  ripples = _stripes(rng, rng.uniform(4, 8), rng.uniform(5, 25))
  crossing = _stripes(rng, rng.uniform(6, 12), rng.uniform(5, 25))
  tone = 0.35 + 0.4 * (_noise(rng, 2) - 0.5) + 0.10 * ripples + 0.08 * crossing
  water = _mix((15, 40, 55), (90, 130, 140), tone)
  if rng.random() < 0.25:
    shore = _mix((50, 60, 35), (120, 115, 90), _fractal(rng, 6, 4))
    water = np.where((_noise(rng, 1) > 0.8)[..., None], shore, water)
  return water


def _wetland(rng):
  """Reeds broken by winding dark channels and pools."""
  reeds = _mix((60, 75, 35), (140, 140, 80), 0.6 * _noise(rng, 32) + 0.4 * _fractal(rng, 4, 3))
  ground = _fractal(rng, int(rng.integers(2, 5)), 3)
  channel = np.abs(ground - 0.5) < rng.uniform(0.03, 0.07)
  pool = ground < rng.uniform(0.1, 0.3)
  return np.where((channel | pool)[..., None], (30, 45, 50), reeds)


def _wood(rng):
  """Tree crowns side by side, each bright where the sun stands and dark on the far side."""
  radius = rng.uniform(3, 6)
  count = int(1.6 * SIZE**2 / (np.pi * radius**2))
  image = Image.new('L', (SIZE, SIZE), 40)
  pen = ImageDraw.Draw(image)
  for x, y, r, tone in zip(
    *rng.uniform(0, SIZE, (2, count)),
    rng.uniform(0.6, 1.3, count) * radius,
    rng.integers(110, 200, count),
    strict=True,
  ):
    for shift, part, light in ((0.35, 1.0, 0.35), (0.0, 0.9, 0.7), (-0.25, 0.5, 1.0)):
      cx, cy, half = x + shift * r, y + shift * r, part * r
      pen.ellipse((cx - half, cy - half, cx + half, cy + half), fill=int(tone * light))
  tone = np.asarray(image, np.float32) / 255 + 0.2 * (_noise(rng, 24) - 0.5)
  return _mix((15, 28, 15), (120, 150, 70), tone)


_PAINTERS = {
  'glacier': _glacier,
  'rock': _rock,
  'urban': _urban,
  'water': _water,
  'wetland': _wetland,
  'wood': _wood,
}


def _photographed(rng, colours):
  """Returns a photograph of a scene [SIZE, SIZE, 3]: tint and haze of its own, blur and grain."""
  # Most of the mean colour is the light's, drawn alike for every class.
  light = rng.uniform(60, 190) + rng.normal(0, 8, 3)
  colours = colours + rng.uniform(0.5, 0.8) * (light - colours.mean((0, 1)))
  contrast = rng.uniform(0.55, 1.0)
  colours = colours.mean((0, 1)) + contrast * (colours - colours.mean((0, 1)))
  grain = rng.normal(0, rng.uniform(2, 8), (SIZE, SIZE, 1))
  image = Image.fromarray(np.uint8(np.clip(colours, 0, 255)))
  image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
  return Image.fromarray(np.uint8(np.clip(np.asarray(image) + grain, 0, 255)))


def main():
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('folder', help='Where the train and validation folders are made.')
  parser.add_argument('--seed', type=int, default=0, help='Another seed draws another set.')
  arguments = parser.parse_args()
  try:
    count = write_images(arguments.folder, arguments.seed)
  except OSError as error:
    parser.error(f'{error.filename} cannot be written ({error.strerror}): name another folder.')
  print(f'{count} images of {len(CLASSES)} classes in {arguments.folder}')


if __name__ == '__main__':
  main()
