"""What is done at random to training views, and how strongly; imports no TensorFlow."""

import dataclasses
import math

from slim_errors import UserError, unknown

ROTATIONS = ('none', 'right_angles')
MAGNITUDES = 10  # the greatest of rand_augment
_STRENGTHS = {'min_crop_area': 1, 'brightness': 1, 'saturation': 1, 'contrast': 1, 'hue': 0.5}
_MOST = {**_STRENGTHS, 'rand_augment': 14, 'rand_augment_magnitude': MAGNITUDES}


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """What makes training views differ from one another; None is the family's own, 0 is off.

  Attributes:
    horizontal_flip: whether every other view is a mirror image.
    vertical_flip, rotation: of orientation.turned.
    min_crop_area: least share of the picture that a view shows, above 0 up to 1.
    brightness: greatest shift of a value, 0 to 1, as a share of white.
    saturation, contrast: 0 to 1; factors are drawn from 1 minus it to 1 plus it.
    hue: greatest turn of the colour circle, 0 to 0.5, as a share of a whole turn.
    rand_augment: number of operations of rand_augment; with some, a family's own brightness,
      saturation and contrast are 0.
    rand_augment_magnitude: theirs, 0 to MAGNITUDES.
  """

  horizontal_flip: bool | None = None
  vertical_flip: bool = False
  rotation: str = 'none'
  min_crop_area: float | None = None
  brightness: float | None = None
  saturation: float | None = None
  contrast: float | None = None
  hue: float | None = None
  rand_augment: int | None = None
  rand_augment_magnitude: float = 9.0

  @property
  def of_rand_augment(self):
    """Number and magnitude of the operations of rand_augment."""
    return self.rand_augment, self.rand_augment_magnitude


_NAMES = tuple(field.name for field in dataclasses.fields(Augmentation))


def of(options):
  """Returns the Augmentation of a class derived from it, such as options.TrainingOptions."""
  return Augmentation(**{name: getattr(options, name) for name in _NAMES})


def check(asked, own, family):
  """Raises UserError for what cannot be done by any family, or not by this one.

  Args:
    asked: Augmentation.
    own: Augmentation of a family, None for what it has not.
    family: its name.
  """
  check_values(asked)
  for name in _MOST:
    if getattr(asked, name) and getattr(own, name) is None:
      raise UserError(f'--{name} does nothing in the {family} preprocessing: leave it out.')


def check_values(asked):
  """Raises UserError for values of an Augmentation that are out of range."""
  greatest_angle(asked.rotation)
  for name, most in _MOST.items():
    value = getattr(asked, name)
    if value is not None and not 0 <= value <= most:
      raise UserError(f'--{name}={value:g} must be from 0 to {most:g}.')
  if asked.min_crop_area == 0:
    raise UserError('--min_crop_area=0 must be above 0, up to 1.')


def completed(asked, own):
  """Returns the Augmentation `asked` for, with a family's `own` where it is None."""
  if asked.rand_augment:  # which changes the colours itself
    own = dataclasses.replace(own, brightness=0.0, saturation=0.0, contrast=0.0)
  left_out = {name: getattr(own, name) for name in _NAMES if getattr(asked, name) is None}
  return dataclasses.replace(asked, **left_out)


def named(asked):
  """Returns the flags of an Augmentation that ask for other views than a picture itself."""
  names = [name for name in _NAMES if name != 'rand_augment_magnitude']  # nothing by itself
  return [f'--{name}' for name in names if getattr(asked, name) not in (None, 0, 'none')]


def greatest_angle(rotation):
  """Returns up to how many degrees a view is turned; None for a rotation that has a name.

  Raises:
    UserError: for a rotation that is neither one of ROTATIONS nor an angle.
  """
  if rotation in ROTATIONS:
    return None
  try:
    angle = float(rotation)
  except ValueError:
    raise unknown('rotation', rotation, (*ROTATIONS, 'an angle in degrees')) from None
  if not 0 < angle <= 180 or math.isnan(angle):
    raise UserError(f'--rotation={rotation} must be above 0, up to 180 degrees.')
  return angle
