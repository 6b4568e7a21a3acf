from django.urls import path

from . import views

urlpatterns = [
    path("json", views.hello),
    path("row", views.row),
    path("rows", views.rows),
    path("write", views.write),
    path("page", views.page, name="workload-page"),
    path("slow-sync", views.slow_sync),
    path("slow-async", views.slow_async),
]
