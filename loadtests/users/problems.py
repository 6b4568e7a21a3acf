"""What can go wrong, in words. Imports nothing of Locust."""


class NotReady(Exception):
    """A user can't start; the text says why and what to do."""


class WrongAnswer(Exception):
    """An answer that is not the one expected."""


def describe(failure: Exception) -> str:
    """A failure as one line that groups well: the type and the first line of its text."""
    code = getattr(failure, "code", None) or getattr(failure, "kw", {}).get("code")
    text = str(failure).splitlines()[0] if str(failure) else ""
    return f"{type(failure).__name__}: status {code}" if code else f"{type(failure).__name__}: {text}"
