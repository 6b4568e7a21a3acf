"""The lab: plan → run → validate → analyse → report. `python -m loadtests.lab --help`."""

METHOD_VERSION = 1
"""Results of different method versions can't be compared."""
