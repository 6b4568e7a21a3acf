"""Reads the environment: names, meanings and examples in one place."""

import os
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

REQUIRED = {
    "SECRET_KEY": ("signs sessions and tokens, 50 characters or more", "$(openssl rand -hex 32)"),
    "DATABASE_URL": ("the PostgreSQL database", "postgresql://user:password@host:5432/name"),
    "REDIS_URL": ("the channel layer's Redis", "redis://user:password@host:6379/0"),
}


class EnvironmentNotComplete(ImproperlyConfigured):
    """A variable of the environment is missing or cannot be read."""


def demand(*names):
    """Raise EnvironmentNotComplete with a line for each of `names` that is not set."""
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise EnvironmentNotComplete("\n".join(_missing_line(name) for name in missing))


def _missing_line(name):
    meaning, example = REQUIRED[name]
    return f"{name} is not set: {meaning}. Example: {name}={example}"


def text(name, default=""):
    return os.environ.get(name) or default


def switch(name, default=False):
    """Return True for 1, false for 0."""
    value = text(name, "1" if default else "0")
    if value not in ("0", "1"):
        raise EnvironmentNotComplete(f"{name}={value!r} cannot be read: expected 0 or 1.")
    return value == "1"


def number(name, default):
    value = text(name, str(default))
    if not value.isdigit():
        raise EnvironmentNotComplete(f"{name}={value!r} cannot be read: expected a whole number, such as {default}.")
    return int(value)


def words(name, default=""):
    """Return a comma-separated value as a list, without empty parts."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def choice(name, default, among):
    value = text(name, default)
    if value not in among:
        raise EnvironmentNotComplete(f"{name}={value!r} is not known: expected one of {', '.join(among)}.")
    return value


def database(name="DATABASE_URL"):
    """Return host, port, user, password, name and options of a PostgreSQL URL in Django's terms."""
    url = urlsplit(text(name))
    if url.scheme not in ("postgresql", "postgres") or not url.path.strip("/"):
        # The value holds a password: the error shows its scheme only.
        example = REQUIRED[name][1]
        raise EnvironmentNotComplete(f"{name} cannot be read (scheme {url.scheme!r}): expected {example}.")
    return {
        "ENGINE": "project.postgresql",
        "HOST": unquote(url.hostname or ""),
        "PORT": str(url.port or ""),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "NAME": unquote(url.path.lstrip("/")),
        "OPTIONS": dict(parse_qsl(url.query)),
    }
