"""The lab: plan → run → validate → analyse → report. `python -m loadtests.lab --help`."""

METHOD_VERSION = 3
"""Results of different method versions can't be compared. What each version means: docs/method.md."""
