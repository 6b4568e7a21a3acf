import importlib
import time

import pytest
from django.db import connection
from django.test import Client

from workload.models import Row

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(db):
    """The rows of the migration; a test that flushed the database took them away."""
    if not Row.objects.exists():
        with connection.cursor() as cursor:
            cursor.execute(importlib.import_module("workload.migrations.0002_rows").INSERT)


@pytest.fixture
def client():
    return Client(enforce_csrf_checks=True)


def test_json_needs_no_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/workload/json").json() == {"message": "Hello, World!"}


def test_one_row_is_one_query(client, rows, django_assert_num_queries):
    with django_assert_num_queries(1):
        row = client.get("/workload/row").json()
    assert row["number"] == row["id"] * 7919 % 10_000


def test_many_rows_are_one_query(client, rows, django_assert_num_queries):
    with django_assert_num_queries(1):
        found = client.get("/workload/rows").json()["rows"]
    assert len(found) == 20
    assert [row["id"] for row in found] == list(range(found[0]["id"], found[0]["id"] + 20))


@pytest.mark.parametrize(("count", "status"), [("1", 200), ("500", 200), ("0", 400), ("501", 400), ("x", 400), ("", 400)])
def test_the_number_of_rows_is_bounded(client, rows, count, status):
    assert client.get("/workload/rows", {"count": count}).status_code == status


def test_a_write_changes_one_row_and_adds_none(client, rows):
    before = dict(Row.objects.values_list("pk", "number"))
    written = client.post("/workload/write").json()
    after = dict(Row.objects.values_list("pk", "number"))
    assert {pk for pk in after if after[pk] != before[pk]} == {written["id"]}
    assert written["number"] == after[written["id"]] == (before[written["id"]] + 1) % Row.ROWS
    assert len(after) == Row.ROWS
    assert client.get("/workload/write").status_code == 405


def test_the_page_shows_fifty_rows_with_one_query(client, rows, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert client.get("/workload/page").content.count(b"<tr><td>") == 50


@pytest.mark.parametrize("path", ["/workload/slow-sync", "/workload/slow-async"])
async def test_the_slow_views_wait_under_asgi(async_client, path):
    begun = time.monotonic()
    assert (await async_client.get(path)).json() == {"waited_ms": 100}
    assert 0.1 <= time.monotonic() - begun < 10


@pytest.mark.parametrize("path", ["/workload/slow-sync", "/workload/slow-async"])
def test_the_slow_views_wait_under_wsgi(client, path):
    begun = time.monotonic()
    assert client.get(path).json() == {"waited_ms": 100}
    assert 0.1 <= time.monotonic() - begun < 10


def test_health_says_which_release_answers_and_asks_nobody(client, django_assert_num_queries, unreachable_redis):
    with django_assert_num_queries(0):
        assert client.get("/healthz").json() == {"status": "ok", "release": "test"}


def test_ready_when_database_and_redis_answer(client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "release": "test", "database": "ok", "redis": "ok"}


def test_not_ready_without_redis_and_the_reason_says_which_part(client, unreachable_redis):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["redis"] == "does not answer (ConnectionError)"
    assert answer.json()["database"] == "ok"


def test_not_ready_without_database_and_no_password_is_shown(client, monkeypatch):
    away = {"host": "127.0.0.1", "port": "9", "user": "u", "password": "hidden", "dbname": "d"}
    monkeypatch.setattr(connection, "get_connection_params", lambda: dict(away))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "does not answer (OperationalError)"
    assert b"hidden" not in answer.content
