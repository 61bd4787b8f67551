"""Every exception that lamina raises on purpose.

::

    LaminaError
    ├── DataError        (ValueError)    the data cannot be used
    │   ├── ReadError                    a file or frame cannot be read as a table
    │   ├── SchemaError                  columns are missing, unknown, or of another kind
    │   └── TargetError                  the target cannot be learnt
    ├── OptionError      (ValueError)    an option is unknown or out of bounds
    ├── GraphError       (ValueError)    layers that cannot be connected so
    ├── TrainingError    (RuntimeError)  training cannot go on
    ├── RunError         (RuntimeError)  a run folder cannot be used
    ├── ModelFileError   (ValueError)    a .lamina file cannot be read or written
    └── MissingExtraError (ImportError)  an optional dependency is not installed

A message is one line: what was given, what was expected, and what to do.
"""


class LaminaError(Exception):
    """Root of the tree: catch this to catch everything that lamina refuses."""


class DataError(LaminaError, ValueError):
    """The data cannot be used."""


class ReadError(DataError):
    """A file or frame cannot be read as a table."""


class SchemaError(DataError):
    """Columns are missing, unknown, or of another kind than was learnt."""


class TargetError(DataError):
    """The target cannot be learnt: missing everywhere, constant, one row."""


class OptionError(LaminaError, ValueError):
    """An option is unknown or out of bounds."""


class GraphError(LaminaError, ValueError):
    """Layers that cannot be connected so."""


class TrainingError(LaminaError, RuntimeError):
    """Training cannot go on."""


class RunError(LaminaError, RuntimeError):
    """A run folder cannot be used."""


class ModelFileError(LaminaError, ValueError):
    """A .lamina file cannot be read or written."""


class MissingExtraError(LaminaError, ImportError):
    """An optional dependency is not installed; the message holds the install line."""
