"""What changes accounts beyond Django's own forms."""

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction


@transaction.atomic
def demo_users_create(*, count, password):
    """Make the users load-0001 … that do not exist yet, all with one password; return all of them in order."""
    User = get_user_model()
    names = [f"load-{number:04d}" for number in range(1, count + 1)]
    known = User.objects.in_bulk(names, field_name="username")
    new = [name for name in names if name not in known]
    if new:
        # Argon2 is slow on purpose: hashed once, it is the same password for each.
        hashed = make_password(password)
        User.objects.bulk_create([User(username=name, password=hashed) for name in new], ignore_conflicts=True)
    return list(User.objects.filter(username__in=names).order_by("username"))


def session_create(*, user):
    """Log a user in without a browser; return the session's key."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session.session_key
