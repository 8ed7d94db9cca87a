"""Settings of a network that is built from a configuration."""

import types


class HParams(types.SimpleNamespace):
  """Named values, read as attributes and changed one by one."""

  def set_hparam(self, name, value):
    """Changes a value.

    Args:
      name: of a value that exists.
      value: of the same type; an int will do for a float.

    Raises:
      ValueError: for an unknown name or another type.
    """
    if name not in vars(self):
      raise ValueError(f'No setting {name!r}; there are {", ".join(sorted(vars(self)))}.')
    wanted = type(getattr(self, name))
    if wanted is float and type(value) is int:
      value = float(value)
    if type(value) is not wanted:
      raise ValueError(f'{name}={value!r} is not of type {wanted.__name__}.')
    setattr(self, name, value)
