"""The house's layers: imports point downwards, and commands start without TensorFlow."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

try:
  import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest itself brings tomli
  import tomli as tomllib

REPO = pathlib.Path(__file__).parent.parent
COMMANDS = (
  'data_convert',
  'train_image_classifier',
  'eval_image_classifier',
  'export_inference_graph',
  'freeze_graph',
  'classify_image',
)
# A module may import what stands in a lower layer, and its own package; nothing beside it.
LAYERS = (
  ('slim_compat', 'slim_errors', 'slim_files', 'slim_text'),
  ('datasets', 'nets', 'preprocessing'),
  ('image_classifier',),
  COMMANDS,
  ('scripts',),
  ('benchmarks',),
  ('tests',),
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
# The packages of image_classifier, and which others each may import. It names only those before it,
# so there is no cycle. The modules beside the packages are what several share, and import none.
PACKAGES = {
  'doctor': (),
  'downloads': (),
  'graphs': (),
  'optimization': (),
  'keras_weights': ('graphs',),
  'evaluation': ('graphs',),
  'inference': ('evaluation', 'graphs'),
  'features': ('evaluation', 'graphs'),
  'training': ('evaluation', 'features', 'optimization'),
  'suspects': ('evaluation', 'features', 'training'),
}
TENSORFLOW = {'tensorflow', 'tf_keras', 'tf_slim'}
# Modules whose distribution has another name; protobuf and h5py come with TensorFlow, in the
# versions it takes.
DISTRIBUTIONS = {
  'PIL': 'pillow',
  'absl': 'absl-py',
  'google': 'tensorflow',
  'google_crc32c': 'google-crc32c',
  'h5py': 'tensorflow',
  'ml_dtypes': 'tensorflow',
  'tf_keras': 'tf-keras',
  'tf_slim': 'tf-slim',
}


def own_files():
  """Returns {file: name of its layer's member} for every Python file of the project."""
  files = {path: path.stem for path in REPO.glob('*.py') if path.stem in HEIGHT}
  for folder in (name for name in HEIGHT if (REPO / name).is_dir()):
    files |= {path: folder for path in (REPO / folder).rglob('*.py')}
  return files


def modules_of(node):
  """Returns the full names of the modules that a syntax node imports (none for `from . import`)."""
  if isinstance(node, ast.Import):
    return {alias.name for alias in node.names}
  if isinstance(node, ast.ImportFrom) and node.level == 0:
    return {node.module}
  return set()


def imported_modules(path):
  """Returns the full names of the modules that a file imports, anywhere in it."""
  tree = ast.parse(path.read_text(encoding='utf-8'))
  return set().union(*map(modules_of, ast.walk(tree)))


def imported(path):
  """Returns the top-level names of the modules that a file imports."""
  return {name.partition('.')[0] for name in imported_modules(path)}


def shipped_files():
  return {path: name for path, name in own_files().items() if HEIGHT[name] <= HEIGHT[COMMANDS[0]]}


def test_no_module_imports_upwards_or_sideways():
  wrong = [
    f'{path.relative_to(REPO)} imports {name}'
    for path, own in own_files().items()
    for name in imported(path)
    if name in HEIGHT and name != own and HEIGHT[name] >= HEIGHT[own] and HEIGHT[own] > 0
  ]
  assert not wrong, wrong


def test_every_file_of_the_root_has_a_layer():
  root = {path.stem for path in REPO.glob('*.py')} - {'setup'}
  assert root == {name for name in HEIGHT if (REPO / f'{name}.py').exists()}


def packages_imported(source):
  """Returns the packages of image_classifier that Python source imports, or imports from."""
  names = set()
  for node in ast.walk(ast.parse(source)):
    modules = modules_of(node)
    names |= modules
    if isinstance(node, ast.ImportFrom):
      names |= {f'{module}.{alias.name}' for module in modules for alias in node.names}
  return {
    package
    for package in PACKAGES
    if any(f'{name}.'.startswith(f'image_classifier.{package}.') for name in names)
  }


def forbidden(package, source):
  """Returns the packages that source of a package (or of none) imports and may not."""
  return packages_imported(source) - {package, *PACKAGES.get(package, ())}


def test_packages_import_what_the_table_allows():
  wrong = [
    f'{path.relative_to(REPO)} imports {name}'
    for path in sorted((REPO / 'image_classifier').rglob('*.py'))
    for name in forbidden(path.parent.name, path.read_text(encoding='utf-8'))
  ]
  assert not wrong, wrong


@pytest.mark.parametrize(
  ('package', 'source'),
  [
    ('evaluation', 'from image_classifier.training import runs'),
    ('graphs', 'from image_classifier.evaluation.metrics import compute'),
    ('features', 'def late():\n  import image_classifier.suspects.search'),
    ('doctor', 'from image_classifier import command, downloads'),
    ('image_classifier', 'from image_classifier.graphs import sidecar'),
  ],
)
def test_an_import_that_the_table_does_not_allow_is_found(package, source):
  assert len(forbidden(package, source)) == 1


def test_the_table_of_packages_has_no_cycle():
  names = list(PACKAGES)
  for number, name in enumerate(names):
    assert set(PACKAGES[name]) <= set(names[:number]), name


def test_every_package_says_what_it_is_for_and_at_most_names_its_api():
  folders = {path.parent.name for path in (REPO / 'image_classifier').glob('*/*.py')}
  assert folders == set(PACKAGES)
  listed = (REPO / 'CONTRIBUTING.md').read_text(encoding='utf-8')
  for name in ('', *PACKAGES):
    init = ast.parse((REPO / 'image_classifier' / name / '__init__.py').read_text('utf-8'))
    code = [type(node) for node in init.body[1:]]
    assert ast.get_docstring(init), name
    assert code == ([ast.ImportFrom, ast.Assign] if name == 'inference' else []), name
    assert not name or f'| `{name}/` |' in listed, name


def test_imports_are_absolute():
  relative = [
    f'{path.relative_to(REPO)}:{node.lineno}'
    for path in own_files()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    if isinstance(node, ast.ImportFrom) and node.level
  ]
  assert not relative, f'the layers are read from full names: {relative}'


def tensorflow_before_slim_compat(path):
  """Returns the lines of a file that import from TensorFlow before slim_compat has prepared it."""
  lines, prepared = [], False
  for node in ast.parse(path.read_text(encoding='utf-8')).body:
    roots = {name.partition('.')[0] for name in modules_of(node)}
    prepared |= 'slim_compat' in roots
    if roots & TENSORFLOW and not prepared:
      lines.append(f'{path.relative_to(REPO)}:{node.lineno}')
  return lines


def test_tensorflow_is_imported_through_slim_compat():
  shipped = [path for path, own in shipped_files().items() if own != 'slim_compat']
  roots = [path.name for path in shipped if TENSORFLOW & imported_modules(path)]
  assert not roots, f'tf and slim come from slim_compat: {roots}'
  early = sum(map(tensorflow_before_slim_compat, shipped), [])
  assert not early, f'slim_compat must be imported first: {early}'


def test_what_is_imported_is_what_is_declared():
  with open(REPO / 'pyproject.toml', 'rb') as file:
    project = tomllib.load(file)['project']
  # scripts/doctor.py does without what its extra brings.
  dependencies = project['dependencies'] + project['optional-dependencies']['doctor']
  declared = {re.match(r'[\w-]+', line).group() for line in dependencies}
  outside = set().union(*(imported(path) for path in shipped_files())) - set(HEIGHT)
  outside -= set(sys.stdlib_module_names)
  # slim_compat names tf_keras in a string.
  assert {DISTRIBUTIONS.get(name, name) for name in outside} | {'tf-keras'} == declared


@pytest.mark.parametrize('command', COMMANDS)
def test_help_needs_no_tensorflow(command):
  without_tensorflow = (
    'import sys\n'
    'for name in ("tensorflow", "tf_keras", "tf_slim", "slim_compat"): sys.modules[name] = None\n'
    f'import {command}\n'
    f'sys.argv = ["{command}.py", "--help"]\n'
    f'sys.exit({command}.cli())\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', without_tensorflow], cwd=REPO, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  assert '--debug' in done.stdout


def test_help_answers_at_once():
  imports = subprocess.run(
    [sys.executable, '-X', 'importtime', 'train_image_classifier.py', '--help'],
    cwd=REPO,
    capture_output=True,
    text=True,
  ).stderr
  loaded = set(re.findall(r'\| +([\w.]+)$', imports, re.MULTILINE))
  assert 'image_classifier.command' in loaded
  assert not loaded & {'tensorflow', 'numpy', 'PIL'}
