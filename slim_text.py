r"""Names that came from elsewhere, made harmless for where they are shown: one function a place.

A file or a class may be called anything. On a terminal, control characters could move the cursor,
colour or overwrite what stands there, and marks of direction could show another order of letters
than there is: these are written as in Python (`\x1b`, `\u202e`). All other names stay as they are,
in Chinese, with spaces or with emojis.
"""

import json
import re

# Control characters, ends of lines, marks that turn the direction of writing, and halves of
# surrogate pairs, which stand for the bytes of a file name that is not UTF-8.
_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_NAMED = {'\t': r'\t', '\n': r'\n', '\r': r'\r'}
# What a spreadsheet takes for a formula, in the widths of Chinese and Japanese keyboards too; an
# apostrophe before it says that it is text.
_FORMULA = re.compile("'*[=+@＝＋＠－-]")


def shown(text):
  """Returns a text as one line that is harmless on a terminal, whatever it holds."""
  return _UNSAFE.sub(_escape, str(text))


def shown_lines(text):
  """Returns a text of several lines that is harmless on a terminal; its ends of lines stay."""
  return '\n'.join(map(shown, text.split('\n')))


def _escape(match):
  character = match[0]
  code = ord(character)
  if 0xDC80 <= code <= 0xDCFF:  # of a name that is not UTF-8: the byte itself
    code -= 0xDC00
  return _NAMED.get(character) or (f'\\x{code:02x}' if code < 0x100 else f'\\u{code:04x}')


def csv_cell(cell):
  """Returns a cell for a CSV file: a text that no spreadsheet runs, anything else as it is.

  It is made harmless for a terminal first, but for ends of lines, which stand in quotes in CSV.
  What would be a formula, or would be once its leading apostrophes are off, gets an apostrophe
  before it: taking one away there restores it.
  """
  if not isinstance(cell, str):
    return cell
  text = shown_lines(cell)
  return f"'{text}" if _FORMULA.match(text) else text


def text_of_csv_cell(cell):
  """Returns the text that `csv_cell` made a cell of, but for what it escaped."""
  return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def json_text(value):
  """Returns indented JSON whose texts are harmless on a terminal, by JSON's own `\\uXXXX`."""
  text = json.dumps(value, ensure_ascii=False, indent=2)
  return '\n'.join(
    _UNSAFE.sub(lambda match: f'\\u{ord(match[0]):04x}', line) for line in text.split('\n')
  )
