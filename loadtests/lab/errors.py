"""The one exception that the lab shows to people."""


class LabError(Exception):
    """Something is wrong that the reader can fix: what was seen, what was expected, and the command that helps."""
