import re
import uuid

import pytest
from playwright.sync_api import expect, sync_playwright

import cluster_under_test as cluster

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (  # noqa: SIM905  # read as it is typed
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
).split()
PATIENCE = 30_000  # ms; a page of a busy machine

expect.set_options(timeout=PATIENCE)


class Person:
    """Somebody with a browser of their own, logged in."""

    def __init__(self, browser, number, **options):
        self.name, cookie, value = cluster.sessions()[number]
        self.context = browser.new_context(base_url=cluster.edge(), ignore_https_errors=True, **options)
        self.context.add_cookies([{"name": cookie, "value": value, "url": cluster.edge(), "secure": cluster.edge().startswith("https")}])
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def enter(self, room, transport="auto", live=True):
        self.page.goto(f"/rooms/{room}/?transport={transport}")
        if live:
            self.is_live()
        return self

    def is_live(self):
        expect(self.page.locator("#state")).to_have_attribute("data-state", "live")

    def say(self, *texts):
        for text in texts:
            self.page.fill("#text", text)
            self.page.press("#text", "Enter")

    def reads(self, *texts):
        """The newest messages are these, in this order, each once."""
        expect(self.page.locator("#messages .message .text").last).to_have_text(texts[-1])
        shown = self.page.locator("#messages .message .text").all_inner_texts()
        assert tuple(shown[-len(texts) :]) == texts
        assert all(shown.count(text) == 1 for text in texts), shown
        ids = [int(number) for number in self.page.locator("#messages .message").evaluate_all("all => all.map(one => one.dataset.id)")]
        assert ids == list(range(ids[0], ids[0] + len(ids)))

    def post(self, path, data):
        token = self.page.locator("[name=csrfmiddlewaretoken]").first.input_value()
        headers = {"X-CSRFToken": token, "Referer": cluster.edge()}
        return self.context.request.post(path, form=data, headers=headers)

    def picture(self, name):
        cluster.ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=cluster.ARTIFACTS / f"{name}.png", full_page=True)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def person(browser, request):
    """person(number, **options of the browser's context): somebody who is logged in."""
    people = []

    def arrive(number, **options):
        people.append(Person(browser, number, **options))
        return people[-1]

    yield arrive
    if getattr(request.node, "failed", False):
        for someone in people:
            someone.picture(f"failed-{re.sub(r'[^a-z0-9]+', '-', request.node.name)}-{someone.name}")
    errors = [error for someone in people for error in someone.errors]
    for someone in people:
        someone.context.close()
    assert errors == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.failed = report.failed
    return report


@pytest.fixture(scope="session")
def served():
    """The topologies that were served, in their order; the first one is served again at the end."""
    names = []
    yield names
    if names and names[-1] != cluster.SERVED_FIRST:
        cluster.serve(cluster.SERVED_FIRST)


@pytest.fixture(scope="session")
def topology(request, served):
    """The topology that is served: switched to once for all the tests that want it."""
    if request.param not in served[-1:]:
        cluster.serve(request.param)
        served.append(request.param)
    return request.param


@pytest.fixture
def ada(person):
    return person(0)


@pytest.fixture
def grace(person):
    return person(1)


@pytest.fixture
def room(person):
    """A room of its own for each test."""
    name = f"browser-{uuid.uuid4().hex[:10]}"
    host = person(5)
    host.page.goto("/rooms/")
    assert host.post("/rooms/", {"name": name}).ok
    return name
