from django.urls import path

from . import live, refresh, views

urlpatterns = [
    path("", views.rooms, name="room-list"),
    path("<slug:slug>/", views.room, name="room"),
    path("<slug:slug>/compare", views.compare, name="room-compare"),
    path("<slug:slug>/messages", views.messages, name="room-messages"),
    path("<slug:slug>/events", live.events, name="room-events"),
    path("<slug:slug>/refresh", refresh.refresh, name="room-refresh"),
    path("<slug:slug>/frame", live.frame, name="room-frame"),
]
