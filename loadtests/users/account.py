"""Who a chat user is: a session from a file, or an account signed up on the spot. Django's forms and cookies."""

import contextlib
import json
import secrets
import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from .base import PacedUser
from .messages import mark
from .problems import NotReady, describe
from .recorder import RECORDER


class Account:
    """The cookies of one person on one site, and the headers that go with them."""

    def __init__(self, host: str, cookies: dict[str, str]) -> None:
        parts = urlsplit(host)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.cookies = cookies

    def cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def headers(self) -> dict[str, str]:
        """What Django's CSRF check wants of a POST: the cookie, the same token, and where the page came from."""
        token = next((value for name, value in self.cookies.items() if name.endswith("csrftoken")), "")
        return {
            "Cookie": self.cookie_header(),
            "X-CSRFToken": token,
            "Origin": self.origin,
            "Referer": self.origin + "/",
        }

    def take_cookies(self, response: Any) -> None:
        for value in response.headers.getlist("set-cookie"):
            for name, morsel in SimpleCookie(value).items():
                self.cookies[name] = morsel.value


def read_sessions(path: str) -> tuple[str, list[str]]:
    """The cookie's name and one session key per user, from the JSON that `manage.py demo_users --sessions` prints.

    Raises NotReady with what was expected.
    """
    expected = 'expected {"cookie": name, "sessions": [{"session": key}, …]}, as `manage.py demo_users --sessions` prints'
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return data["cookie"], [entry["session"] for entry in data["sessions"]]
    except OSError as error:
        raise NotReady(f"--sessions-file {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotReady(f"--sessions-file {path}: {expected}") from error


class AccountUser(PacedUser):
    """A user with an account; `prepare` gets it. The session file is dealt out in order, around and around."""

    abstract = True

    account: Account

    def prepare(self) -> None:
        # Cookies are sent by hand: one jar would be shared by requests that run at once.
        self.client.client.cookiejar = None
        self.account = self.new_account(self.number - 1)

    def new_account(self, place: int) -> Account:
        """An account: the session at `place` of the session file, or one that signs up now. Raises NotReady."""
        account = Account(self.host, {})
        self._visit(account, "GET", "/accounts/login/", 200)  # sets the CSRF cookie
        if self.options.sessions_file:
            cookie, sessions = read_sessions(self.options.sessions_file)
            account.cookies[cookie] = sessions[place % len(sessions)]
        else:
            self._sign_up(account)
        return account

    def _sign_up(self, account: Account) -> None:
        password = secrets.token_urlsafe(12)
        fields = {"username": f"visitor-{secrets.token_hex(6)}", "password1": password, "password2": password}
        self._visit(account, "POST", "/accounts/signup/", 302, fields)
        if not any(name.endswith("sessionid") for name in account.cookies):
            raise NotReady("signing up gave no session cookie; give --sessions-file")

    def _visit(self, account: Account, method: str, path: str, status: int, fields: dict[str, str] | None = None) -> Any:
        """One request of the preparation. Raises NotReady."""
        try:
            response = self.client.client.urlopen(
                self.host + path,
                method=method,
                headers=account.headers() | ({"Content-Type": FORM} if fields else {}),
                payload=urlencode(fields) if fields else None,
                max_redirects=0,
            )
            response.content  # noqa: B018  reading it gives the connection back
        except Exception as error:
            raise NotReady(f"{method} {path}: {describe(error)}") from error
        account.take_cookies(response)
        if response.status_code != status:
            raise NotReady(f"{method} {path}: status {response.status_code}, expected {status}")
        return response

    def rooms(self) -> list[str]:
        """The slugs of all rooms of the load."""
        return [f"load-{number + 1}" for number in range(max(1, self.options.rooms))]

    def enter_room(self, slug: str) -> int:
        """Make the room unless it is there; return the id of its newest message. Raises NotReady."""
        try:
            return self.newest_id(slug)
        except NotReady:
            with contextlib.suppress(NotReady):  # another user was faster; the next line tells
                self._visit(self.account, "POST", "/rooms/", 302, {"name": slug.replace("-", " ")})
            return self.newest_id(slug)

    def newest_id(self, slug: str) -> int:
        """The id of a room's newest message. Raises NotReady."""
        path = f"/rooms/{slug}/messages?after=0&limit=1"
        response = self._visit(self.account, "GET", path, 200)
        try:
            return int(json.loads(response.content)["newest"])
        except (ValueError, KeyError, TypeError) as error:
            raise NotReady(f"GET {path}: the answer has no id of the newest message") from error

    def publish(self, intended: float, room: str, how: Callable[[str, str, str], str]) -> None:
        """Publish and report; the message must come to every member of the room."""
        in_window = RECORDER.in_window(intended)
        RECORDER.sending(intended)
        started = time.monotonic()
        with RECORDER.flight("publish"):
            error = how(room, mark(intended, in_window), secrets.token_hex(8))
        self.report("PUBLISH", "publish", intended, started, error=error)
        if in_window and not error:
            RECORDER.counters["published"] += 1
            RECORDER.published[room] += 1

    def post(self, room: str, text: str, key: str) -> str:
        """Publish over HTTP; the error text, or nothing."""
        try:
            response = self.client.client.urlopen(
                f"{self.host}/rooms/{room}/messages",
                method="POST",
                headers=self.account.headers() | {"Content-Type": "application/json"},
                payload=json.dumps({"text": text, "key": key}),
                max_redirects=0,
            )
            answer = json.loads(response.content)
        except Exception as error:
            return describe(error)
        return "" if response.status_code == 201 and answer.get("key") == key else f"status {response.status_code}"


FORM = "application/x-www-form-urlencoded"
