import asyncio
import io
import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from channels.testing import ApplicationCommunicator
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone
from PIL import Image

from pictures import services
from pictures.images import PictureRefused, picture_check, picture_shrink
from pictures.models import Picture
from pictures.services import picture_add, picture_make, pictures_sweep
from project.asgi import application
from rooms.models import Message

from .conftest import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


def jpeg(size=(2000, 1000), **options):
    out = io.BytesIO()
    Image.new("RGB", size, "olive").save(out, "JPEG", **options)
    return out.getvalue()


def upload(data=None, name="garden.jpg"):
    return SimpleUploadedFile(name, jpeg() if data is None else data)


@pytest.fixture
def jobs(monkeypatch):
    """What was asked of the workers."""
    asked = []
    monkeypatch.setattr(services, "_ask", asked.append)
    return asked


@pytest.fixture
def picture(room, user, jobs):
    return picture_add(room=room, author=user, upload=upload())


def test_a_picture_that_is_sent_shows_in_the_room_once_it_is_made(browser, room, jobs):
    answer = browser.post("/rooms/garden/pictures", {"picture": upload()})
    assert answer.status_code == 202
    address = answer.json()["address"]
    assert browser.get(address).json()["state"] == "waiting"
    assert browser.get(f"{address}small").status_code == 404
    picture_make(jobs[0])
    assert browser.get(address).json()["state"] == "ready"
    assert Message.objects.get().text == f"garden\n{address}large"
    for size, width in (("small", 480), ("large", 1600)):
        image = browser.get(f"{address}{size}")
        assert image["Content-Type"] == "image/webp"
        assert Image.open(io.BytesIO(image.content)).size == (width, width // 2)


def test_a_job_goes_through_the_channel_layer_to_the_consumer(room, user, picture):
    async def hear():
        worker = ApplicationCommunicator(application, {"type": "channel", "channel": services.CHANNEL})
        await worker.send_input({"type": "picture.make", "picture": picture.pk})
        async with asyncio.timeout(PATIENCE):
            while (await Picture.objects.aget(pk=picture.pk)).state != Picture.READY:
                await worker.receive_nothing(timeout=0.1)
        await worker.wait(timeout=0.1)

    with suppress(TimeoutError):  # a consumer of a channel never ends by itself
        async_to_sync(hear)()
    picture.refresh_from_db()
    assert picture.state == Picture.READY


def test_a_picture_that_every_worker_hears_of_is_made_by_one(picture, monkeypatch):
    made = []
    together = threading.Barrier(2)
    monkeypatch.setattr(services, "picture_shrink", lambda data, side: made.append(side) or b"small")

    def work():
        together.wait(5)
        picture_make(picture.pk)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join(10) for thread in threads]
    assert sorted(made) == [480, 1600]
    assert Message.objects.count() == 1


def test_the_sweep_makes_a_picture_whose_job_was_lost(picture):
    assert pictures_sweep() == 0, "a job is given a moment to arrive"
    assert pictures_sweep(older_than=timedelta(0)) == 1
    assert Message.objects.count() == 1
    assert pictures_sweep(older_than=timedelta(0)) == 0


def test_the_sweep_takes_over_from_a_worker_that_died(picture):
    services._claim(picture.pk)
    assert pictures_sweep(older_than=timedelta(0)) == 0
    Picture.objects.update(claimed_at=timezone.now() - timedelta(minutes=2))
    assert pictures_sweep() == 1


def test_a_worker_that_was_overtaken_publishes_nothing(picture, monkeypatch):
    def overtaken(data, side):
        Picture.objects.update(attempts=2)
        return b"late"

    monkeypatch.setattr(services, "picture_shrink", overtaken)
    picture_make(picture.pk)
    assert Message.objects.count() == 0


def test_a_picture_that_kills_its_workers_is_given_up(picture):
    Picture.objects.update(attempts=services.ATTEMPTS, claimed_at=timezone.now() - timedelta(minutes=2))
    assert pictures_sweep() == 0
    picture.refresh_from_db()
    assert (picture.state, picture.upload) == (Picture.FAILED, None)
    assert "3 attempts" in picture.reason


def test_a_damaged_picture_fails_with_a_reason(room, user, jobs):
    picture = picture_add(room=room, author=user, upload=upload(jpeg()[:3000]))
    picture_make(picture.pk)
    picture.refresh_from_db()
    assert (picture.state, picture.reason) == (Picture.FAILED, "The picture is damaged.")


def test_a_picture_is_stored_although_redis_is_away(browser, room, unreachable_redis):
    assert browser.post("/rooms/garden/pictures", {"picture": upload()}).status_code == 202
    assert Picture.objects.get().state == Picture.WAITING


@pytest.mark.parametrize("data", [b"", b"no picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_refused(browser, room, jobs, data):
    answer = browser.post("/rooms/garden/pictures", {"picture": upload(data)})
    assert (answer.status_code, answer.json()["error"]) == (400, "picture")
    assert jobs == []


def test_a_picture_that_unpacks_to_too_much_is_refused_by_its_header():
    with pytest.raises(PictureRefused, match="pixels"):
        picture_check(jpeg((3000, 2000)), max_pixels=5_000_000)


def test_a_file_that_is_too_large_is_refused(browser, room, settings):
    settings.PICTURE_BYTES = 1000
    answer = browser.post("/rooms/garden/pictures", {"picture": upload()})
    assert answer.status_code == 400
    assert "bytes" in answer.json()["detail"]


def test_one_person_cannot_fill_the_queue(room, user, jobs, monkeypatch):
    monkeypatch.setattr(services, "WAITING_MAX", 1)
    picture_add(room=room, author=user, upload=upload())
    with pytest.raises(PictureRefused, match="waiting"):
        picture_add(room=room, author=user, upload=upload())


def test_what_a_camera_wrote_into_the_file_is_not_published():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = 6  # turned by a quarter
    made = Image.open(io.BytesIO(picture_shrink(jpeg((400, 200), exif=exif), 100)))
    assert made.size == (50, 100)
    assert not made.getexif()


def test_pictures_want_a_session(client, room):
    headers = {"x-forwarded-proto": "https"}
    assert client.post("/rooms/garden/pictures", {"picture": upload()}, headers=headers).status_code == 401
    assert client.get("/rooms/garden/pictures/1/small", headers=headers).status_code == 302
