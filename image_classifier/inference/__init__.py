"""What pictures show, by a frozen graph: the Python API, and what classify_image.py adds to it."""

from image_classifier.inference.classifier import Classifier

__all__ = ['Classifier']
