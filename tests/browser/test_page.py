"""The room's page and the comparison, on the default topology."""

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

import cluster_under_test as cluster

pytestmark = [pytest.mark.parametrize("topology", [cluster.SERVED_FIRST], indirect=True), pytest.mark.usefixtures("topology")]
MISSED = ("first while away", "second while away", "third while away")


@pytest.mark.parametrize("transport", cluster.TRANSPORTS)
def test_the_plug_is_pulled_and_put_back(transport, ada, grace, room):
    ada.enter(room, transport)
    grace.enter(room, "poll")
    grace.say("before")
    ada.reads("before")
    ada.page.get_by_role("button", name="Pull the plug").click()
    expect(ada.page.locator("#state")).to_have_text("the plug is pulled")
    grace.say(*MISSED)
    grace.reads(*MISSED)
    ada.say("written without a plug")  # waits until there is one
    assert ada.page.locator(".message").count() == 1
    ada.picture(f"unplugged-{transport}")
    ada.page.get_by_role("button", name="Put the plug back").click()
    ada.is_live()
    ada.reads("before", *MISSED, "written without a plug")
    expect(ada.page.locator(".delay.late").first).to_have_text(re.compile("caught up, .* later"))
    expect(ada.page.locator("#number-resumed")).to_have_text(re.compile("^[1-9]"))
    assert ada.page.locator("#room").get_attribute("data-recovered") == "true"
    ada.picture(f"caught-up-{transport}")


@pytest.mark.parametrize("transport", cluster.TRANSPORTS)
def test_the_network_goes_and_comes_back(transport, ada, grace, room):
    ada.enter(room, transport)
    grace.enter(room, "poll")
    ada.context.set_offline(True)
    expect(ada.page.locator("#state")).to_have_attribute("data-state", "offline")
    grace.say(*MISSED)
    grace.reads(*MISSED)
    ada.context.set_offline(False)
    ada.is_live()
    ada.reads(*MISSED)


@pytest.mark.parametrize("transport", ["websocket", "sse", "longpoll"])
def test_a_tab_that_slept_catches_up(transport, ada, grace, room):
    ada.enter(room, transport)
    grace.enter(room, "poll")
    browser = ada.context.new_cdp_session(ada.page)
    browser.send("Page.setWebLifecycleState", {"state": "frozen"})
    grace.say(*MISSED)
    grace.reads(*MISSED)
    browser.send("Page.setWebLifecycleState", {"state": "active"})
    ada.is_live()
    ada.reads(*MISSED)
    expect(ada.page.locator("#number-lost")).to_have_text(re.compile(r"^0 · "))


def test_a_server_that_does_not_answer_is_tried_again(ada, grace, room):
    ada.page.route("**/messages?*", lambda route: route.fulfill(status=503, headers={"Retry-After": "3"}, body="{}"))
    ada.enter(room, "poll", live=False)
    expect(ada.page.locator("#state")).to_have_text(re.compile(r"reconnecting in [1-4] s"))
    ada.picture("reconnecting")
    ada.page.unroute("**/messages?*")
    grace.enter(room, "poll").say("back again")
    ada.is_live()
    ada.reads("back again")


def test_the_transport_is_changed_on_the_way(ada, grace, room):
    grace.enter(room, "poll")
    ada.enter(room, "websocket")
    texts = []
    for transport in ("sse", "longpoll", "iframe", "poll", "websocket"):
        ada.page.select_option("#transport", transport)
        expect(ada.page.locator("#state")).to_have_attribute("data-transport", transport)
        texts.append(f"read by {transport}")
        grace.say(texts[-1])
        ada.reads(*texts)
    expect(ada.page.locator("#number-lost")).to_have_text("0 · 0")


def test_who_logs_out_is_told_so(ada, room):
    ada.enter(room, "poll")
    ada.context.clear_cookies()
    expect(ada.page.locator("#state")).to_have_attribute("data-state", "closed")


def test_a_picture_shows_to_both_once_it_is_made(ada, grace, room):
    ada.enter(room)
    grace.enter(room, "sse")
    data = io.BytesIO()
    Image.effect_mandelbrot((1200, 800), (-2, -1.1, 0.8, 1.1), 60).convert("RGB").save(data, "JPEG")
    ada.page.set_input_files("#picture", files=[{"name": "mandelbrot.jpg", "mimeType": "image/jpeg", "buffer": data.getvalue()}])
    for someone in (ada, grace):
        image = someone.page.get_by_role("img", name="mandelbrot")
        expect(image).to_be_visible()
        expect(image).to_have_js_property("naturalWidth", 480)
    ada.picture("picture")


def test_what_is_no_picture_is_refused_with_a_reason(ada, room):
    ada.enter(room)
    ada.page.set_input_files("#picture", files=[{"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}])
    expect(ada.page.locator("#notice")).to_have_text("This is no JPEG, PNG, WebP or GIF picture.")


def test_all_transports_side_by_side_lose_nothing(ada, room):
    ada.page.goto(f"/rooms/{room}/compare")
    columns = ada.page.locator(".column")
    expect(columns).to_have_count(len(cluster.TRANSPORTS))
    for column in columns.all():
        expect(column.locator(".state")).to_have_attribute("data-state", "live")
    ada.page.get_by_role("button", name="Send 20").click()
    for column in columns.all():
        expect(column.locator("[data-part=messages]")).to_have_text("20")
        expect(column.locator("[data-part=lost]")).to_have_text("0 · 0")
    expect(ada.page.frame_locator("#reloading").locator(".message")).to_have_count(20)
    ada.picture("compare")
    ada.page.get_by_role("button", name="Pull all plugs").click()
    ada.page.get_by_role("button", name="Send one message").click()
    ada.page.wait_for_timeout(1000)
    assert columns.first.locator("[data-part=messages]").inner_text() == "20"
    ada.page.get_by_role("button", name="Put all plugs back").click()
    for column in columns.all():
        expect(column.locator("[data-part=messages]")).to_have_text("21")
        expect(column.locator("[data-part=lost]")).to_have_text("0 · 0")


@pytest.mark.parametrize("path", ["", "compare"])
def test_pages_hold_no_script_or_style_in_their_text(ada, room, path):
    ada.page.goto(f"/rooms/{room}/{path}")
    assert ada.page.locator("script:not([src]), style, [style], [onclick], [onload]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["", "compare"])
def test_pages_fit_a_phone(person, room, path, scheme):
    phone = person(3, viewport={"width": 360, "height": 740}, color_scheme=scheme, device_scale_factor=2)
    phone.page.goto(f"/rooms/{room}/{path}")
    expect(phone.page.locator("[data-state=live]").first).to_be_visible()
    if not path:
        phone.say("A text that is long enough to need more than one line on a phone.", "https://example.org/" + "long" * 30)
        expect(phone.page.locator(".message")).to_have_count(2)
    phone.picture(f"phone-{path or 'room'}-{scheme}")
    assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_control_has_a_name_and_can_be_reached_by_keyboard(ada, room):
    ada.enter(room)
    for role in ("button", "combobox", "textbox", "link"):
        for control in ada.page.get_by_role(role).all():
            name = control.evaluate("one => one.ariaLabel || one.labels?.[0]?.textContent || one.textContent || one.title")
            assert name.strip(), control
    ada.page.locator("#transport").focus()
    order = []
    for _ in range(6):
        ada.page.keyboard.press("Tab")
        order.append(ada.page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert order == ["plug", "Compare all", "Without JavaScript", "messages", "picture", "text"]
