"""What a killed engine leaves behind."""

import os

from cluster import engine


def test_a_process_id_that_belongs_to_somebody_else_is_forgotten(tmp_path, monkeypatch):
    left = tmp_path / "docker.pid"
    left.write_text(str(os.getpid()))
    monkeypatch.setattr(engine, "PID_FILES", {left: "dockerd"})
    engine.remove_stale_pid_files()
    assert not left.exists()


def test_the_process_id_of_a_running_engine_is_kept(tmp_path, monkeypatch):
    left = tmp_path / "docker.pid"
    left.write_text(f"{os.getpid()}\n")
    own_name = open(f"/proc/{os.getpid()}/comm").read().strip()  # noqa: SIM115
    monkeypatch.setattr(engine, "PID_FILES", {left: own_name})
    engine.remove_stale_pid_files()
    assert left.exists()


def test_a_file_that_holds_no_process_id_is_forgotten(tmp_path, monkeypatch):
    left = tmp_path / "docker.pid"
    left.write_text("half a")
    monkeypatch.setattr(engine, "PID_FILES", {left: "dockerd", tmp_path / "none": "containerd"})
    engine.remove_stale_pid_files()
    assert not left.exists()
