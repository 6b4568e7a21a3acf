"""Settings of the project. What differs between hosts comes from the environment; README.md lists it."""

import sys
from pathlib import Path

from . import environment, layers

BASE_DIR = Path(__file__).resolve().parent.parent

# Static files are collected where a release is built: no database and no Redis can be reached there.
BUILDING = sys.argv[1:2] == ["collectstatic"]
environment.demand("SECRET_KEY", *([] if BUILDING else ["DATABASE_URL", "REDIS_URL"]))

DEBUG = environment.switch("DEBUG")
RELEASE_FILE = BASE_DIR / "RELEASE"  # written where a release is built
RELEASE = environment.text("RELEASE", RELEASE_FILE.read_text().strip() if RELEASE_FILE.is_file() else "development")
SECRET_KEY = environment.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = environment.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" if DEBUG else "")
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "accounts",
    "rooms",
    "notifications",
    "pictures",
    "workload",
    "health",
]

MIDDLEWARE = [
    "project.request_id.request_id_middleware",
    "project.policy.policy_middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "project.unavailable.unavailable_middleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "project.context.release",
            ]
        },
    }
]

# --- Database

DATABASE_CONNECT_SECONDS = environment.number("DATABASE_CONNECT_SECONDS", 3)
# Under ASGI each request runs in a thread of its own, so that a connection kept per thread (CONN_MAX_AGE) would be
# lost with it. A pool per process serves both servers in the same way.
DATABASE_POOL = {
    "min_size": 1,  # idle processes hold one connection
    "max_size": environment.number("DATABASE_POOL_MAX", 10),
    "timeout": environment.number("DATABASE_WAIT_SECONDS", 4),  # for a connection; below the servers' own time limits
    "max_idle": 60,  # seconds; gives connections back after a peak
    # The pauses between two attempts double for as long as the pool goes on with one connection (default: 300 s), so that
    # it would find a database that is back minutes later. Whoever asks after it gave up begins anew.
    "reconnect_timeout": DATABASE_CONNECT_SECONDS,
}
# A host that is gone or cut off says nothing: without these, a query waits for the kernel's fifteen minutes.
DATABASE_LIVENESS = {
    "connect_timeout": DATABASE_CONNECT_SECONDS,
    "tcp_user_timeout": 1000 * DATABASE_CONNECT_SECONDS,  # milliseconds; what was sent is acknowledged by then
    # An idle connection is asked, so that its end is known before a request gets it. With the limit above, no count is needed.
    "keepalives_idle": DATABASE_CONNECT_SECONDS,
    "keepalives_interval": 1,
}
DATABASES = {} if BUILDING else {"default": environment.database()}
if not BUILDING:
    DATABASES["default"]["OPTIONS"] |= {"pool": DATABASE_POOL, **DATABASE_LIVENESS}
    # A connection that PostgreSQL closed (a restart) is replaced instead of failing one request each.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Channel layer

REDIS_URLS = environment.words("REDIS_URL")  # more than one: sharded by group; redis+sentinel:// for a watched one
CHANNEL_LAYER = environment.choice("CHANNEL_LAYER", "pubsub", among=("pubsub", "core", "memory"))
CHANNEL_PREFIX = environment.text("CHANNEL_PREFIX", "laurel")  # what Redis' ACL may be narrowed to: `&laurel*`
CHANNEL_LAYERS = {"default": layers.layer(CHANNEL_LAYER, REDIS_URLS, CHANNEL_PREFIX)}

# --- The feed

FEED_PAGE_SIZE = 200  # messages read from the database at a time
FEED_TAIL_SIZE = 500  # newest messages of a room that a process keeps in memory for its sockets
FEED_LOOK_SECONDS = 5  # how often a waiting socket looks at the database, should a wake-up call be lost
FEED_RETENTION_COUNT = environment.number("FEED_RETENTION_COUNT", 100_000)  # newest messages kept of a room; 0: all
FEED_RETENTION_DAYS = environment.number("FEED_RETENTION_DAYS", 0)  # older ones are pruned; 0: never
MESSAGE_MAX_LENGTH = 4_000
SOCKET_FRAME_LIMIT = 64 * 1024  # bytes

# --- Pictures

PICTURE_BYTES = 5 * 1024 * 1024  # below nginx's limit for a body, so that the refusal is ours and readable
PICTURE_PIXELS = 24_000_000  # unpacked, 3 bytes each

SESSION_CHECK_SECONDS = 60  # how often the session behind an open socket or stream is looked at
CONNECTIONS_PER_USER = environment.number("CONNECTIONS_PER_USER", 100)  # sockets and streams, in one process
FRAMES_PER_SECOND = environment.number("FRAMES_PER_SECOND", 100)  # that one user may send to one process, lasting …
FRAMES_BURST = environment.number("FRAMES_BURST", 500)  # … and at once

# --- Streams: seconds, inside the servers' and nginx's own limits

LONG_POLL_SECONDS = environment.number("LONG_POLL_SECONDS", 25)
STREAM_SECONDS = environment.number("STREAM_SECONDS", 3600)  # under ASGI; then the client comes back
STREAM_SECONDS_WSGI = environment.number("STREAM_SECONDS_WSGI", 30)  # holds a worker: below the server's time limit
STREAM_HEARTBEAT_SECONDS = environment.number("STREAM_HEARTBEAT_SECONDS", 10)
STREAM_RETRY_MS = 1000  # what Server-Sent Events tell a browser to wait before it comes back
STREAM_HANDOVER = environment.switch("STREAM_HANDOVER", True)  # let nginx bring streams to an ASGI server, if it can
# Requests of one pool of WSGI workers that may wait at a time: fewer than there are workers.
WAITING_REQUESTS_MAX = environment.number("WAITING_REQUESTS_MAX", 1)

# --- Accounts

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "room-list"
LOGOUT_REDIRECT_URL = "home"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Security

# nginx overwrites this header; the application servers are reachable from nginx only.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if not DEBUG:
    # The browser itself refuses these names without Secure, with a Domain, or with another path than "/".
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
X_FRAME_OPTIONS = "DENY"
SECURE_HSTS_SECONDS = environment.number("HSTS_SECONDS", 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SILENCED_SYSTEM_CHECKS = [
    # HSTS binds browsers to a certificate for months; a local authority's must not. HSTS_SECONDS turns it on.
    "security.W004",
    # nginx redirects plain HTTP. A redirect here would also answer the health probes, which come past nginx.
    "security.W008",
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

# --- Language, time, static files

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = environment.text("STATIC_ROOT", str(BASE_DIR / "staticfiles"))
STATICFILES_DIRS = [BASE_DIR / "static"]
_HASHED = "project.storage.HashedStaticFilesStorage"
_PLAIN = "django.contrib.staticfiles.storage.StaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _PLAIN if DEBUG else _HASHED},
}

# --- Logs

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "project.log.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": environment.text("LOG_LEVEL", "INFO")},
    "loggers": {
        # Django's own handlers (a mail to the admins, a plain console) are replaced by the root's.
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "daphne": {"level": "WARNING"},  # a line for each frame otherwise
    },
}
