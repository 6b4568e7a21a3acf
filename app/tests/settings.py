"""The production settings, for tests: a database and a Redis come from the environment, the rest is set here."""

import os

# Whatever is set for a server on this machine must not change what the tests see.
os.environ.update(
    SECRET_KEY="only-for-tests-0123456789abcdefghijklmnopqrstuvwxyz",
    ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
    CSRF_TRUSTED_ORIGINS="https://testserver,https://*.example.org",
    DEBUG="0",
    RELEASE="test",
    LOG_LEVEL="INFO",
    HSTS_SECONDS="0",
)

from project import environment
from project.settings import *  # noqa: F403
from project.settings import FEED_LOOK_SECONDS, STORAGES

# No collectstatic before each run; the build has a test of its own.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
# Argon2 is slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A server of a test that wants to be woken is given a clock so slow that nothing else can have told it.
FEED_LOOK_SECONDS = environment.number("FEED_LOOK_SECONDS", FEED_LOOK_SECONDS)
