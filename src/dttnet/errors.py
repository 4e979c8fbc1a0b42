"""Everything dttnet raises on purpose.

    DttnetError
    ├── UsageError             the call or the command line makes no sense        exit code 2
    ├── AudioError             this input or output cannot be done                exit code 1
    ├── ModelError             a model is missing, broken or does not fit         exit code 3
    └── DeviceError            a device, an engine or a package is not there      exit code 3
        ├── OutOfMemoryError   a device has too little memory for a batch          exit code 3
        └── MissingExtraError  an optional dependency is not installed            exit code 3

Each message names the file or the value, says what is wrong with it and what to do.
"""


class DttnetError(Exception):
    """Root of all errors of this package."""

    exit_code = 1


class UsageError(DttnetError, ValueError):
    """An argument is out of range or contradicts another one."""

    exit_code = 2


class AudioError(DttnetError):
    """An audio file or array cannot be read, processed or written."""


class ModelError(DttnetError):
    """A model cannot be found, read, or does not do what was asked of it."""

    exit_code = 3


class DeviceError(DttnetError):
    """The machine lacks what was asked for: a device, an engine, a package."""

    exit_code = 3


class OutOfMemoryError(DeviceError):
    """A device has too little memory for what it was given: less of it may do."""


class MissingExtraError(DeviceError):
    """An optional dependency is needed: the message has the command that installs it."""

    def __init__(self, purpose: str, extra: str) -> None:
        # What a process that sends the error to another one makes it from again there.
        super().__init__(purpose, extra)
        self.purpose = purpose
        self.extra = extra

    def __str__(self) -> str:
        return f'{self.purpose} needs an optional part of dttnet: pip install "dttnet[{self.extra}]"'
