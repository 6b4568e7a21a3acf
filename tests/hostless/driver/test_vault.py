"""The secrets in a file that a password opens: written, read back, and what is refused. ansible-vault itself does the work."""

import shutil
import subprocess

import pytest
import yaml

from cluster import __main__ as verbs
from cluster import doctor, inventory, passwords, paths, playbook, settings, vault
from cluster.console import Failure
from cluster.paths import VENV

ANSIBLE = paths.ROOT / "ansible"
NAMES = set(yaml.safe_load((ANSIBLE / "group_vars/all/secrets.yml").read_text())["secrets"])


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with our playbooks and data, whose environment `local` has addresses and no secrets yet."""
    folder = tmp_path / "ansible/inventories/local"
    (folder / "group_vars/laurel").mkdir(parents=True)
    for name in ("ansible.cfg", "group_vars", "roles", "validate.yml"):
        (tmp_path / "ansible" / name).symlink_to(ANSIBLE / name)
    for name in ("app", "mqtt"):
        (tmp_path / name).symlink_to(paths.ROOT / name)
    for name in ("hosts.yml", "group_vars/laurel/main.yml"):
        shutil.copy(ANSIBLE / "inventories/local" / name, folder / name)
    for module in (paths, inventory, passwords, vault):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(playbook, "ANSIBLE", tmp_path / "ansible")
    hosts = {name: f"198.18.250.{number}" for name, number in inventory.cluster_numbers(folder).items()}
    ports = {"HTTP_PORT": 8080, "HTTPS_PORT": 8443, "LOCUST_PORT": 8089}
    inventory.write(inventory.Cluster("laurel-test", "198.18.250.0/24", "docker", "127.0.0.1", ports, hosts), folder / "addresses.yml")
    for name in ("ENVIRONMENT", "VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST", "SECRET", "LEAKED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "")  # what a verb sets is taken back
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE")
    monkeypatch.setenv("ANSIBLE_STRATEGY", "linear")
    monkeypatch.setenv("LAUREL_TRANSPORT", "ssh")
    return tmp_path


@pytest.fixture
def password(tmp_path_factory, monkeypatch):
    path = tmp_path_factory.mktemp("team") / "password"
    path.write_text("of the team\n")
    monkeypatch.setenv("VAULT_PASSWORD_FILE", str(path))
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a verb as make does: (code, the lines of its complaint)."""

    def run(verb):
        monkeypatch.setattr("sys.argv", ["cluster", verb])
        code = verbs.main()
        return code, capsys.readouterr().err.splitlines()

    monkeypatch.setattr(verbs.lock, "exclusive", lambda *_: verbs.contextlib.nullcontext())
    return run


def file(checkout):
    return checkout / "ansible/inventories/local" / vault.FILE


def opened(path, password):
    command = [VENV / "bin/ansible-vault", "view", "--vault-password-file", password, path]
    return yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def texts(checkout):
    """Whatever lies in the checkout's own files."""
    return {path: path.read_text() for path in checkout.rglob("*") if path.is_file() and not path.is_symlink()}


def flat(secrets):
    return [text for value in secrets.values() for text in (value.values() if isinstance(value, dict) else [value])]


def test_the_secrets_of_now_are_in_the_vault_and_nowhere_else(checkout, password, run):
    plain = checkout / "ansible/secrets/local"
    plain.mkdir(parents=True)
    (plain / "redis_password").write_text("r" * 40 + "\n")
    (plain / "application_secret_key.before").write_text("k" * 64 + "\n")
    assert run("vault") == (0, [])
    kept = opened(file(checkout), password)
    assert set(kept["secrets"]) == NAMES
    assert kept["secrets"]["redis_password"] == "r" * 40
    assert kept["secrets_before"] == {"application_secret_key": "k" * 64, "redis_password": "", "redis_peer_password": ""}
    assert set(kept["secrets"]["mqtt_passwords"]) == {"bridge", "sensor"}
    secrets = [*flat(kept["secrets"]), "k" * 64]
    assert len(secrets) == len(NAMES) + 2 and all(16 <= len(text) <= 128 for text in secrets)
    assert not plain.exists()
    assert [path for path, text in texts(checkout).items() if any(secret in text for secret in secrets)] == []
    # Ansible reads them there, and validate has nothing to say.
    assert inventory.variables("local", "data")["secrets"] == kept["secrets"]
    assert vault.mqtt_password("local", "data", "sensor") == kept["secrets"]["mqtt_passwords"]["sensor"]
    playbook.validate("local")
    assert not plain.exists(), "no secret was made anew"
    # Again: nothing changes.
    before = file(checkout).read_bytes()
    assert run("vault") == (0, [])
    assert file(checkout).read_bytes() == before
    # Without the password a verb ends before anything else, and the doctor says why.
    password.rename(password.with_name("elsewhere"))
    code, complaint = run("deploy")
    assert code == 2 and len(complaint) == 1 and "no such file; name one, as in: VAULT_PASSWORD_FILE=" in complaint[0]


def test_a_run_that_was_killed_before_the_plain_files_went_is_ended_by_the_next(checkout, password, run):
    assert run("vault") == (0, [])
    plain = checkout / "ansible/secrets/local"
    plain.mkdir()
    (plain / "redis_password").write_text(opened(file(checkout), password)["secrets"]["redis_password"] + "\n")
    assert run("vault") == (0, [])
    assert not plain.exists()
    plain.mkdir()
    (plain / "redis_password").write_text("x" * 40)
    code, complaint = run("vault")
    assert code == 2 and len(complaint) == 1 and "has redis_password, and the vault has no such secret, or another text" in complaint[0]
    assert (plain / "redis_password").is_file()


def test_without_a_password_nothing_is_written(checkout, run):
    code, complaint = run("vault")
    assert code == 2 and len(complaint) == 1
    assert "no password file is given to encrypt the secrets with" in complaint[0] and "make vault VAULT_PASSWORD_FILE=" in complaint[0]
    assert not file(checkout).exists() and not (checkout / "ansible/secrets").exists()


@pytest.fixture
def closed(checkout):
    """A vault that somebody else wrote."""
    file(checkout).write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")


@pytest.mark.parametrize("verb", ["deploy", "plan", "rotate-secrets", "status"])
def test_an_encrypted_inventory_without_its_password_is_one_line(closed, run, verb):
    code, complaint = run(verb)
    assert code == 2 and len(complaint) == 1
    assert f"ansible/inventories/local/{vault.FILE} is encrypted, and no password file is given; name yours" in complaint[0]


def test_the_doctor_says_that_a_password_is_missing(closed):
    finding = doctor.closed("local")
    assert finding.level == "fail" and "is encrypted, and no password file is given" in finding.what


def test_the_doctor_is_content_where_it_is_given(closed, password):
    assert doctor.closed("local").level == "ok"


def test_a_password_that_opens_nothing_is_one_line(closed, password, run):
    with pytest.raises(Failure) as refused:
        vault.unlock("local")
        playbook.validate("local")
    assert str(refused.value).startswith("the inventory 'local' cannot be read: ") and len(str(refused.value).splitlines()) == 1
    code, complaint = run("vault")
    assert code == 2 and len(complaint) == 1 and "the vault cannot be written or read" in complaint[0]


def test_secrets_of_the_inventory_are_not_rotated(checkout, password, monkeypatch):
    file(checkout).write_text(yaml.safe_dump({"secrets": dict.fromkeys(NAMES, "a" * 40)}))
    with pytest.raises(Failure, match=r"the inventory 'local' gives its secrets itself .*edit them there, then make deploy"):
        vault.refuse_rotation("local", "app1")


def test_secrets_that_were_made_are_rotated(checkout):
    vault.refuse_rotation("local", "app1")


def test_a_rotation_that_has_not_ended_is_not_locked_away(checkout, password, run):
    folder = passwords.folder_of("local")
    folder.mkdir(parents=True)
    (folder / passwords.NOTE).write_text("{}")
    code, complaint = run("vault")
    assert code == 2 and "a rotation of secrets has not ended" in complaint[0]


def test_an_empty_name_is_none(checkout, monkeypatch):
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "")
    vault.unlock("local")
    assert inventory.variables("local", "app1")["secrets"]


def test_a_relative_name_is_found_from_every_folder(checkout, password, monkeypatch):
    monkeypatch.chdir(password.parent)
    monkeypatch.setenv("VAULT_PASSWORD_FILE", "password")
    vault.unlock(settings.read().environment)
    assert vault.os.environ["ANSIBLE_VAULT_PASSWORD_FILE"] == str(password)
