"""Which files are installed; everything else about the package stands in pyproject.toml."""

import pathlib

import setuptools

HERE = pathlib.Path(__file__).parent

PACKAGES = ('datasets', 'image_classifier', 'nets', 'preprocessing')

setuptools.setup(
  packages=setuptools.find_packages(
    str(HERE), include=[*PACKAGES, *(f'{name}.*' for name in PACKAGES)]
  ),
  py_modules=sorted(file.stem for file in HERE.glob('*.py') if file.name != 'setup.py'),
  package_dir={'': '.'},  # so an editable install is one plain path, and new files are seen at once
)
