"""Which sessions still stand for a user, and who must hear that one does not."""

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from project.wake import announce

GROUP = "sessions"  # a wake-up here carries the id of a user whose sockets must show their session again


def sessions_over(keys):
    """Return those of `keys` whose session is gone or over, or whose user may not log in or has a new password."""
    stored = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    data = {session.session_key: session.get_decoded() for session in stored}
    User = get_user_model()
    users = User.objects.in_bulk({content[SESSION_KEY] for content in data.values() if SESSION_KEY in content})
    users = {str(pk): user for pk, user in users.items() if user.is_active}
    return {key for key in keys if not _holds(data.get(key, {}), users)}


def _holds(content, users):
    user = users.get(content.get(SESSION_KEY))
    if user is None:
        return False
    seen = content.get(HASH_SESSION_KEY, "")
    return any(constant_time_compare(seen, known) for known in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()))


def _session_deleted(instance, **_):
    """A logout, or a session that somebody took away; one that was over already is nobody's news."""
    user_id = instance.get_decoded().get(SESSION_KEY)
    if user_id and instance.expire_date > timezone.now():
        transaction.on_commit(lambda: announce(GROUP, int(user_id)))


def _user_changed(instance, created=False, update_fields=None, **_):
    """A new password, an account that was closed; a login only writes down when it was."""
    if not created and set(update_fields or ()) != {"last_login"}:
        user_id = instance.pk
        transaction.on_commit(lambda: announce(GROUP, user_id))


def connect_signals():
    User = get_user_model()
    post_delete.connect(_session_deleted, sender=Session)
    post_save.connect(_user_changed, sender=User)
    post_delete.connect(_user_changed, sender=User)
