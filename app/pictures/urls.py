from django.urls import path

from . import views

urlpatterns = [
    path("<slug:slug>/pictures", views.pictures, name="room-pictures"),
    path("<slug:slug>/pictures/<int:picture_id>/", views.picture, name="picture"),
    path("<slug:slug>/pictures/<int:picture_id>/small", views.small, name="picture-small"),
    path("<slug:slug>/pictures/<int:picture_id>/large", views.large, name="picture-large"),
]
