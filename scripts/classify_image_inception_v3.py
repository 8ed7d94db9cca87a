"""The tutorial's name of classify_image.py, which takes any net; see its --help."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import classify_image

if __name__ == '__main__':
  sys.exit(classify_image.cli())
