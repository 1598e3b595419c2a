"""The one family of errors a user is meant to read.

Whatever is wrong with a user's input (a file, a key, a device) is raised as a `HeapError` whose message names the file
or key, what was found and what was expected. The command line prints these without a traceback; anything else is a bug.
"""

import pickle
import struct
import zlib

# What decoders of other libraries raise on damaged files (found by fuzzing them); they have no common base. To be
# caught around a decoder's own call, and raised again as an error of ours that names the file.
DAMAGE = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError,
    AssertionError, MemoryError, SyntaxError, struct.error, zlib.error, pickle.UnpicklingError,
)  # fmt: skip


class HeapError(Exception):
    """Base of all errors that are the user's to put right."""


class SettingsError(HeapError):
    """A key of the configuration is unknown, of the wrong type, or impossible."""


class DataError(HeapError):
    """A dataset's file is missing, unreadable or contradicts another."""


class PhotoError(DataError):
    """One photo cannot be used. Readers may skip it, counted, where the dataset's `on_bad_image` says so."""


class FetchError(HeapError):
    """An archive could not be downloaded, verified or unpacked."""


class EncoderError(HeapError):
    """An encoder, its weights or its device is not what was asked for."""


class CacheError(HeapError):
    """The feature cache is missing, incomplete or damaged."""


class TrainingError(HeapError):
    """Training cannot start or go on."""


class ClusterError(HeapError):
    """The regions of a dataset cannot be clustered as asked."""


class ModelError(HeapError):
    """A model's folder is missing, incomplete, or does not fit the encoder that is there."""
