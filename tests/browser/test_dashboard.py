"""The dashboard, as somebody sees it who opens it."""

import os
import re
import signal
import socket
import subprocess

import pytest
from playwright.sync_api import expect

import cluster_under_test as cluster


@pytest.fixture
def dashboard():
    """Its address, for as long as `make dashboard` runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["make", "dashboard", f"DASHBOARD_PORT={port}"],
        cwd=cluster.CHECKOUT, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert f"http://localhost:{port}/user/" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}/user/"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
        process.stdout.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_dashboard_draws_what_prometheus_knows(browser, dashboard, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1300, "height": 900})
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(dashboard)
    expect(page.locator("#state")).to_contain_text("again every")
    expect(page.locator("figure")).to_have_count(10)
    for panel in ("Requests a second", "CPU by service (1 is one CPU)", "Memory by service", "WebSockets open"):
        expect(page.locator(f'figure[data-panel="{panel}"] svg')).to_be_visible()
    services = page.locator('figure[data-panel="Memory by service"] li').all_inner_texts()
    assert {"nginx", "uwsgi", "daphne", "postgresql", "redis-server"} <= {re.split(r"\s", text)[0] for text in services}
    expect(page.locator("#alerts p").first).to_be_visible()
    cluster.ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=cluster.ARTIFACTS / f"dashboard-{scheme}.png", full_page=True)
    # On a phone nothing is cut off.
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    assert errors == []
