"""Who a chat user is: a session from a file, or an account signed up on the spot. Django's forms and cookies."""

import contextlib
import json
import secrets
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from .base import NotReady, PacedUser, describe


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
        self.account = Account(self.host, {})
        self._visit("GET", "/accounts/login/", 200)  # sets the CSRF cookie
        if self.options.sessions_file:
            cookie, sessions = read_sessions(self.options.sessions_file)
            self.account.cookies[cookie] = sessions[(self.number - 1) % len(sessions)]
        else:
            self._sign_up()

    def _sign_up(self) -> None:
        password = secrets.token_urlsafe(12)
        fields = {"username": f"visitor-{secrets.token_hex(6)}", "password1": password, "password2": password}
        self._visit("POST", "/accounts/signup/", 302, fields)
        if not any(name.endswith("sessionid") for name in self.account.cookies):
            raise NotReady("signing up gave no session cookie; give --sessions-file")

    def _visit(self, method: str, path: str, status: int, fields: dict[str, str] | None = None) -> Any:
        """One request of the preparation. Raises NotReady."""
        try:
            response = self.client.client.urlopen(
                self.host + path,
                method=method,
                headers=self.account.headers() | ({"Content-Type": FORM} if fields else {}),
                payload=urlencode(fields) if fields else None,
                max_redirects=0,
            )
            response.content  # noqa: B018  reading it gives the connection back
        except Exception as error:
            raise NotReady(f"{method} {path}: {describe(error)}") from error
        self.account.take_cookies(response)
        if response.status_code != status:
            raise NotReady(f"{method} {path}: status {response.status_code}, expected {status}")
        return response

    def enter_room(self) -> str:
        """The slug of this user's room; it is made if it isn't there. Raises NotReady."""
        slug = f"load-{(self.number - 1) % max(1, self.options.rooms) + 1}"
        try:
            self._visit("GET", f"/rooms/{slug}/", 200)
        except NotReady:
            with contextlib.suppress(NotReady):  # another user was faster; the next line tells
                self._visit("POST", "/rooms/", 302, {"name": slug.replace("-", " ")})
            self._visit("GET", f"/rooms/{slug}/", 200)
        return slug


FORM = "application/x-www-form-urlencoded"
