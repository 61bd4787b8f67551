"""The exceptions that lamina raises.

A message is one line: what was given, what was expected, and what to do.
"""


class LaminaError(Exception):
    """Base of all exceptions that lamina raises."""


class DataError(LaminaError, ValueError):
    """The data cannot be used."""


class ReadError(DataError):
    """A file or frame cannot be read as a table."""


class SchemaError(DataError):
    """Columns are missing, unknown, or of another kind than in training."""


class TargetError(DataError):
    """The target cannot be predicted: all values missing, constant, or one row."""


class OptionError(LaminaError, ValueError):
    """An option is unknown or out of bounds."""


class GraphError(LaminaError, ValueError):
    """Layers cannot be connected this way."""


class TrainingError(LaminaError, RuntimeError):
    """Training cannot continue."""


class RunError(LaminaError, RuntimeError):
    """A run folder cannot be used."""


class ModelFileError(LaminaError, ValueError):
    """A .lamina file cannot be read or written."""


class ForkError(LaminaError, RuntimeError):
    """A call needs threads that a forked process does not have."""


class MissingExtraError(LaminaError, ImportError):
    """An optional dependency is not installed; the message has the install command."""


class LaminaWarning(UserWarning):
    """Rows to predict differ from the training rows, or X can be read in two ways."""
