"""Real servers that come and go: nothing is lost, doubled or out of order, on any transport."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import reverse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from project.layers import client as redis_client
from rooms.models import Room
from rooms.services import message_publish

from . import servers
from .conftest import PATIENCE
from .readers import Page, parse_events, parse_frame

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not servers.UWSGI or not servers.REDIS, reason="needs uwsgi beside Python, and redis-server"),
]
ORIGIN = "https://testserver"
NEVER = "300"  # seconds between two looks at the database: what comes sooner was woken


class Crowd(threading.Thread):
    """A client of one transport that comes back after its last id whenever its connection ends."""

    def __init__(self, address, transport, session):
        super().__init__(daemon=True)
        self.address, self.transport, self.session = address, transport, session
        self.ids, self.recovered, self.connections, self.done = [], [], 0, False
        self.address_of_page = ""
        self.start()

    @property
    def after(self):
        return self.ids[-1] if self.ids else 0

    def run(self):
        reads = {"websocket": self._socket, "longpoll": self._long_poll, "poll": self._poll, "refresh": self._refresh}
        read = reads.get(self.transport, self._stream)
        while not self.done:
            try:
                read()
            except (OSError, ConnectionClosed, http.client.HTTPException):
                time.sleep(0.2)

    def _socket(self):
        cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={self.session}"}
        with connect(f"ws://{self.address}/ws/rooms/garden/", origin=ORIGIN, additional_headers=cookie, proxy=None) as ws:
            self.connections += 1
            ws.send(json.dumps({"type": "subscribe", "after": self.after}))
            while not self.done:
                try:
                    frame = json.loads(ws.recv(timeout=0.5))
                except TimeoutError:
                    continue
                self.recovered.append(frame["recovered"]) if frame["type"] == "subscribed" else self.ids.append(frame["id"])

    def _get(self, path):
        request = urllib.request.Request(f"http://{self.address}/rooms/garden/{path}")
        request.add_header("Cookie", f"{settings.SESSION_COOKIE_NAME}={self.session}")
        answer = urllib.request.urlopen(request, timeout=PATIENCE)
        self.connections += 1
        return answer

    def _long_poll(self):
        self._poll(wait=2)

    def _refresh(self):
        with self._get(self.address_of_page or "refresh?after=0") as answer:
            page = Page(answer.read().decode())
        self.address_of_page = page.next.rpartition("/")[2]
        self.recovered.append(page.room["data-recovered"] == "true")
        self.ids += [message["id"] for message in page.new]
        time.sleep(0.2)

    def _poll(self, wait=0):
        with self._get(f"messages?after={self.after}&wait={wait}") as answer:
            page = json.load(answer)
        time.sleep(0 if wait else 0.2)
        self.recovered.append(page["recovered"])
        self.ids += [message["id"] for message in page["messages"]]

    def _stream(self):
        parse, rest = parse_events if self.transport == "events" else parse_frame, ""
        with self._get(f"{self.transport}?after={self.after}") as answer:
            while not self.done and (part := answer.read1(65536)):
                events, rest = parse(rest + part.decode())
                self.recovered += [data["recovered"] for name, data in events if name == "recovery"]
                self.ids += [data["id"] for name, data in events if name == "message"]

    def waits_for(self, count, seconds):
        """Return whether so many have come in time."""
        end = time.monotonic() + seconds
        while len(self.ids) < count and time.monotonic() < end:
            time.sleep(0.05)
        return len(self.ids) >= count

    def has(self, count, seconds=3 * PATIENCE):
        self.waits_for(count, seconds)
        assert self.ids == list(range(1, count + 1)), (self.transport, self.ids)
        assert all(self.recovered)


@pytest.fixture
def start():
    """Start servers and readers that are gone when the test is over."""
    running = []

    def run(make, *args, **kwargs):
        running.append(make(*args, **kwargs))
        return running[-1]

    yield run
    for thing in reversed(running):
        if isinstance(thing, Crowd):
            thing.done = True
            thing.join(8)
        else:
            thing.stop()


def publish(room, user, count):
    for _ in range(count):
        message_publish(room_id=room.pk, author=user, text="text")


def test_a_redis_and_a_daphne_restart_lose_nothing_on_any_transport(room, user, session, start):
    redis = start(servers.redis)
    asgi = start(servers.daphne, REDIS_URL=f"redis://{redis.address}/0")
    wsgi = start(servers.uwsgi, REDIS_URL=f"redis://{redis.address}/0", WAITING_REQUESTS_MAX="1", STREAM_SECONDS_WSGI="2")
    on_asgi = ("websocket", "events", "frame", "longpoll", "poll", "refresh")
    readers = [start(Crowd, asgi.address, transport, session) for transport in on_asgi]
    readers += [start(Crowd, wsgi.address, transport, session) for transport in ("events", "poll", "refresh")]
    publish(room, user, 5)
    for reader in readers:
        reader.has(5)
    redis.stop()
    publish(room, user, 5)  # nobody is woken: the readers look by themselves
    for reader in readers:
        reader.has(10)
    redis.start()
    publish(room, user, 5)
    asgi.stop()
    publish(room, user, 5)
    asgi.start()
    publish(room, user, 5)
    for reader in readers:
        reader.has(25)
    assert all(reader.connections > 1 for reader in readers)


def test_a_worker_pool_keeps_a_worker_free_and_a_client_that_goes_gives_its_place_back(room, user, session, start):
    wsgi = start(servers.uwsgi, WAITING_REQUESTS_MAX="1", STREAM_SECONDS_WSGI="300")
    reader = start(Crowd, wsgi.address, "events", session)
    publish(room, user, 1)
    reader.has(1)
    other = Crowd.__new__(Crowd)
    other.address, other.session, other.connections = wsgi.address, session, 0

    def has_a_place():
        try:
            return json.load(other._get("messages?after=2&wait=1"))["messages"] == []
        except urllib.error.HTTPError as error:
            assert error.code == 429
            return False

    with pytest.raises(urllib.error.HTTPError) as refused:
        other._get("messages?after=1&wait=5")
    assert refused.value.code == 429 and refused.value.headers["Retry-After"]
    assert other._get("messages?after=0").status == 200
    reader.done = True
    publish(room, user, 1)
    reader.join(PATIENCE)
    # The worker looks once a second whether its client is there; the stream itself would last for longer.
    end = time.monotonic() + PATIENCE
    while not has_a_place():
        assert time.monotonic() < end, "the place was not given back"
        time.sleep(0.3)


def test_a_message_wakes_a_waiting_uwsgi_worker_at_once(room, user, session, start):
    wsgi = start(servers.uwsgi, FEED_LOOK_SECONDS=NEVER, STREAM_SECONDS_WSGI=NEVER)
    reader = start(Crowd, wsgi.address, "events", session)
    # The first may be found at the beginning, the second when the group is joined; the third only a wake-up can bring.
    for count in (1, 2, 3):
        publish(room, user, 1)
        reader.has(count)
    assert reader.connections == 1


def test_two_processes_that_publish_at_once_give_each_reader_the_same_order(room, user, session, start):
    both = [start(servers.daphne), start(servers.daphne)]
    readers = [start(Crowd, server.address, "websocket", session) for server in both]
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}

    def write(server):
        with connect(f"ws://{server.address}/ws/rooms/garden/", origin=ORIGIN, additional_headers=cookie, proxy=None) as ws:
            for number in range(50):
                ws.send(json.dumps({"type": "publish", "text": f"{server.port} {number}", "key": f"{server.port}-{number}"}))
            acknowledged = [json.loads(ws.recv(timeout=PATIENCE))["id"] for _ in range(50)]
            assert acknowledged == sorted(acknowledged)

    writers = [threading.Thread(target=write, args=[server]) for server in both]
    [writer.start() for writer in writers]
    [writer.join() for writer in writers]
    for reader in readers:
        reader.has(100)


def test_a_logout_in_one_process_closes_sockets_of_another(room, user, session, start):
    asgi = start(servers.daphne)
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    with connect(f"ws://{asgi.address}/ws/rooms/garden/", origin=ORIGIN, additional_headers=cookie, proxy=None) as ws:
        ws.send(json.dumps({"type": "subscribe", "after": 0}))
        ws.recv(timeout=PATIENCE)
        client = Client(headers={"x-forwarded-proto": "https"})
        client.cookies[settings.SESSION_COOKIE_NAME] = session
        client.post(reverse("logout"), secure=True)
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=PATIENCE)
        assert closed.value.rcvd.code == 4001


def wake_ups_arrive(start, session, user, url, layer, rooms=6):
    """Whether each of several rooms is woken through Redis, not by a look at the clock."""
    publishing = start(servers.daphne, REDIS_URL=url, CHANNEL_LAYER=layer)
    reading = start(servers.daphne, REDIS_URL=url, CHANNEL_LAYER=layer, FEED_LOOK_SECONDS=NEVER)
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    options = {"origin": ORIGIN, "additional_headers": cookie, "proxy": None}
    for number in range(rooms):
        Room.objects.get_or_create(slug=f"room-{number}", defaults={"name": f"Room {number}", "created_by": user})
        path = f"/ws/rooms/room-{number}/"
        with connect(f"ws://{reading.address}{path}", **options) as ws, connect(f"ws://{publishing.address}{path}", **options) as out:
            ws.send(json.dumps({"type": "subscribe", "after": None}))
            ws.recv(timeout=PATIENCE)
            for text in ("perhaps found when the group was joined", "woken"):
                out.send(json.dumps({"type": "publish", "text": text}))
                assert json.loads(ws.recv(timeout=PATIENCE))["text"] == text, (path, layer)


@pytest.mark.parametrize("layer", ["pubsub", "core"])
def test_after_a_redis_restart_readers_are_woken_again(room, user, session, start, layer):
    redis = start(servers.redis)
    url = f"redis://{redis.address}/0"
    reading = start(servers.daphne, REDIS_URL=url, CHANNEL_LAYER=layer, FEED_LOOK_SECONDS=NEVER)
    writer = start(servers.daphne, REDIS_URL=url, CHANNEL_LAYER=layer)
    publish(room, user, 1)  # from this process, which has another Redis: nobody would be woken
    reader = start(Crowd, reading.address, "websocket", session)
    reader.has(1)
    redis.stop()
    time.sleep(1)
    redis.start()
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    with connect(f"ws://{writer.address}/ws/rooms/garden/", origin=ORIGIN, additional_headers=cookie, proxy=None) as ws:
        in_a_row = 0
        for count in range(2, 60):
            ws.send(json.dumps({"type": "publish", "text": "woken?"}))
            ws.recv(timeout=PATIENCE)
            # One may be found when the group is joined again; two in a row have been announced.
            in_a_row = in_a_row + 1 if reader.waits_for(count, seconds=2) else 0
            if in_a_row == 3:
                reader.has(count)
                return
    raise AssertionError("nobody was woken any more")


@pytest.mark.parametrize("layer", ["pubsub", "core"])
def test_two_redis_servers_share_the_rooms(room, user, session, start, layer):
    shards = [start(servers.redis), start(servers.redis)]
    urls = [f"redis://{shard.address}/0" for shard in shards]
    # Which server has a room follows from its id: of sixteen, some are on each.
    wake_ups_arrive(start, session, user, ",".join(urls), layer, rooms=16)
    commands = [redis_client(url).info("commandstats") for url in urls]
    used = "cmdstat_publish" if layer == "pubsub" else "cmdstat_zadd"
    assert all(used in stats for stats in commands), [sorted(stats) for stats in commands]


@pytest.mark.parametrize("layer", ["pubsub", "core"])
def test_a_sentinel_names_the_redis_server_and_its_successor(room, user, session, start, layer, tmp_path):
    master = start(servers.redis)
    replica = start(servers.redis, "--replicaof", "127.0.0.1", str(master.port))
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"sentinel monitor garden 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds garden 1000\nsentinel failover-timeout garden 3000\n"
    )
    sentinel = start(servers.Server, servers.REDIS, str(config), "--port", "PORT", "--sentinel")
    url = f"redis+sentinel://{sentinel.address}/garden"
    assert redis_client(url).connection_pool.get_master_address() == ("127.0.0.1", master.port)
    wake_ups_arrive(start, session, user, url, layer, rooms=1)
    reader = start(Crowd, start(servers.daphne, REDIS_URL=url, CHANNEL_LAYER=layer).address, "websocket", session)
    publish(room, user, 1)
    reader.has(1)
    known = redis_client(f"redis://{sentinel.address}")
    end = time.monotonic() + 2 * PATIENCE
    while not any(one["master-link-status"] == "ok" for one in known.sentinel_slaves("garden")):
        assert time.monotonic() < end, "the sentinel knows no replica that is ready"
        time.sleep(0.3)
    master.stop()
    publish(room, user, 1)
    reader.has(2)
    end = time.monotonic() + 3 * PATIENCE
    while redis_client(url).connection_pool.get_master_address() != ("127.0.0.1", replica.port):
        assert time.monotonic() < end, "no failover"
        time.sleep(0.3)
    publish(room, user, 1)
    reader.has(3)
    wake_ups_arrive(start, session, user, url, layer, rooms=1)


@pytest.fixture(autouse=True)
def no_connections_left(db):
    yield
    connections.close_all()
