"""Each transport on each topology that carries it. The topology is switched once for each."""

import re

import pytest
from playwright.sync_api import expect

import cluster_under_test as cluster

NAMES = {"websocket": "WebSocket", "sse": "Server-Sent Events", "longpoll": "long polling", "poll": "polling", "iframe": "streamed iframe"}


@pytest.mark.parametrize(("topology", "transport"), cluster.CARRIED, indirect=["topology"])
def test_two_people_talk(topology, transport, ada, grace, room):
    ada.enter(room, transport)
    grace.enter(room, transport)
    expect(ada.page.locator("#state")).to_have_text(f"live over {NAMES[transport]}")
    ada.say("Are you there?")
    grace.reads("Are you there?")
    grace.say("Yes,", "I am.")
    ada.reads("Are you there?", "Yes,", "I am.")
    grace.reads("Are you there?", "Yes,", "I am.")
    # The delay of each, and what came over the wire.
    expect(grace.page.locator(".message .delay").first).to_have_text(re.compile(r"\d+ m?s"))
    expect(grace.page.locator("#number-bytes")).to_have_text(re.compile(r"[1-9].* k?B"))
    expect(grace.page.locator("#number-lost")).to_have_text("0 · 0")
    grace.picture(f"talk-{topology}-{transport}")


@pytest.mark.parametrize("topology", cluster.ORDER, indirect=True)
def test_the_automatic_choice_is_the_best_that_the_topology_carries(topology, ada, grace, room):
    wanted = "sse" if cluster.TOPOLOGIES[topology]["websocket"] == "none" else "websocket"
    ada.enter(room)
    expect(ada.page.locator("#state")).to_have_attribute("data-transport", wanted)
    grace.enter(room, "poll").say("Which way did I come?")
    ada.reads("Which way did I come?")


@pytest.mark.parametrize("topology", cluster.ORDER, indirect=True)
def test_without_javascript_the_page_reloads_itself(topology, person, ada, room):
    plain = person(2, java_script_enabled=False)
    ada.enter(room, "poll").say("before")
    ada.reads("before")
    plain.page.goto(f"/rooms/{room}/")
    plain.page.get_by_role("link", name="The page that reloads itself").click()
    ada.say("and after")
    expect(plain.page.locator(".message .text").last).to_have_text("and after")
    plain.picture(f"refresh-{topology}")
    plain.page.get_by_role("link", name="Stand still while I write").click()
    plain.page.fill("#text", "without a script")
    plain.page.get_by_role("button", name="Send").click()
    ada.reads("before", "and after", "without a script")
