import json
import os

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from accounts.services import demo_users_create, session_create
from rooms.models import Room
from rooms.services import room_create


class Command(BaseCommand):
    help = (
        "Make the users load-0001 … and the room `bench`, unless they exist. DEMO_PASSWORD is the password of new "
        "users; without it they cannot log in with one. --sessions prints a fresh session for each user as JSON."
    )

    def add_arguments(self, parser):
        parser.add_argument("--count", type=int, default=50, help="how many users (default: 50)")
        parser.add_argument("--sessions", action="store_true", help="print session keys as JSON, and nothing else")

    def handle(self, *, count, sessions, **options):
        if not 1 <= count <= 9999:
            raise CommandError(f"--count {count}: expected 1 to 9999.")
        before = get_user_model().objects.count()
        users = demo_users_create(count=count, password=os.environ.get("DEMO_PASSWORD") or None)
        room = Room.objects.filter(slug="bench").first() or room_create(name="bench", created_by=None)
        if not sessions:
            made = get_user_model().objects.count() - before
            self.stdout.write(f"{len(users)} users, {users[0]} to {users[-1]}; room {room.slug}; {made or 'nothing'} new.")
            return
        self.stdout.write(
            json.dumps(
                {
                    "cookie": settings.SESSION_COOKIE_NAME,
                    "room": room.slug,
                    "sessions": [{"user": user.username, "session": session_create(user=user)} for user in users],
                }
            )
        )
