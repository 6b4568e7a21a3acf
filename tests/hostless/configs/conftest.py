"""Every template, rendered by Ansible for every topology and for somebody else's application; and the hosts' own tools,
in the builder's image, to judge what came out."""

import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from cluster import engine, image, inventory, playbook
from cluster.paths import BUILD, ROOT, VENV

ANSIBLE = ROOT / "ansible"
DATA = ANSIBLE / "group_vars" / "all"
TOPOLOGIES = yaml.safe_load((DATA / "topologies.yml").read_text())["topologies"]
# Which group of hosts gets the templates of a folder.
PLACES = {
    "nginx": "nginx", "uwsgi": "app", "daphne": "app", "worker": "app", "relay": "app",
    "ansible/roles/common": "laurel", "ansible/roles/release": "app", "ansible/roles/locust": "locust",
    "ansible/roles/postgresql": "postgresql", "ansible/roles/redis": "redis", "monitoring": "laurel",
}  # fmt: skip
FOREIGN = {
    "application_name": "shop",
    "application_source": "elsewhere/shop",
    "application_wsgi_module": "shop.config.wsgi:app",
    "application_asgi_module": "shop.config.asgi:app",
    "application_settings_module": "shop.config.production",
    "application_static_url": "/assets/",
    "application_websocket_path": "/live/",
    "application_user": "shopkeeper",
    "application_worker_commands": {"mailer": "send_mail --for-ever"},
    "application_owner_environment": {"DB_USER": "owner"},
    "application_environment": {"DJANGO_SECRET": "s3cret", "BROKER": "redis://one:two@198.18.250.31:6379/0"},
    "public_http_port": 80,
    "public_https_port": 443,
    "systemd_private_users": True,
    "unattended_security_updates": True,
    "nginx_hsts_seconds": 63072000,
    "application_origins": ["https://shop.example.org", "https://*.shop.example.org"],
}
VARIANTS = {
    **{name: {"topology": name, "side_by_side": False} for name in TOPOLOGIES},
    "side_by_side": {"topology": "mixed", "side_by_side": True},
    "rig": {"topology": "mixed", "side_by_side": True, "rig": True},
    "ha": {"topology": "mixed", "side_by_side": False, "redis_hosts": ["198.18.250.31", "198.18.250.32", "198.18.250.33"]},
    "foreign": {"topology": "mixed", "side_by_side": False, **FOREIGN},
}
ADDRESS = "198.18.250"
# Where a template's text lies on a host: the longest prefix wins.
ON_HOST = {
    "nginx/": "etc/laurel/nginx/",
    "nginx/nginx.service.conf": "etc/systemd/system/nginx.service.d/laurel.conf",
    "uwsgi/uwsgi.ini": "etc/laurel/uwsgi.ini",
    "uwsgi/uwsgi.service": "etc/systemd/system/uwsgi.service",
    "daphne/": "etc/systemd/system/",
    "relay/relay.json": "etc/laurel/relay.json",
    "worker/worker.service": "etc/systemd/system/worker-first.service",
    "monitoring/": "etc/prometheus/",
    "monitoring/laurel-exporter.service": "etc/systemd/system/laurel-exporter.service",
    "ansible/roles/postgresql/templates/laurel-backup.service": "etc/systemd/system/laurel-backup.service",
    "ansible/roles/postgresql/templates/laurel-backup.timer": "etc/systemd/system/laurel-backup.timer",
    "ansible/roles/common/templates/firewall.nft": "etc/laurel/firewall.nft",
    "ansible/roles/common/templates/laurel-firewall.service": "etc/systemd/system/laurel-firewall.service",
    "ansible/roles/common/templates/security-updates.conf": "etc/apt/apt.conf.d/60laurel-security-updates",
    "ansible/roles/common/templates/apt-daily-upgrade.service.conf": "etc/systemd/system/apt-daily-upgrade.service.d/laurel.conf",
    "ansible/roles/common/templates/laurel-audit": "usr/local/sbin/laurel-audit",
    "ansible/roles/common/templates/unit-is-stale": "usr/local/sbin/unit-is-stale",
    "ansible/roles/release/templates/environment": "etc/app/environment",
    "ansible/roles/release/templates/environment.owner": "etc/app/environment.owner",
    "ansible/roles/release/templates/app-manage": "usr/local/bin/app-manage",
    "ansible/roles/locust/templates/": "etc/systemd/system/",
    "ansible/roles/postgresql/templates/laurel.conf": "etc/postgresql/15/main/conf.d/laurel.conf",
    "ansible/roles/postgresql/templates/postgresql.service.conf": "etc/systemd/system/postgresql@.service.d/laurel.conf",
    "ansible/roles/postgresql/templates/pg_hba.conf": "etc/postgresql/15/main/pg_hba.conf",
    "ansible/roles/postgresql/templates/rights.sql": "etc/postgresql/rights.sql",
    "ansible/roles/redis/templates/redis.conf": "etc/redis/redis.conf",
    "ansible/roles/redis/templates/users.acl": "etc/redis/users.acl",
    "ansible/roles/redis/templates/sentinel.conf": "etc/redis/sentinel.conf",
    "ansible/roles/redis/templates/sentinel-users.acl": "etc/redis/sentinel-users.acl",
    "ansible/roles/redis/templates/redis-leader": "usr/local/sbin/redis-leader",
    "ansible/roles/redis/templates/redis-sentinel.service": "etc/systemd/system/redis-sentinel.service",
    "ansible/roles/redis/templates/redis-server.conf": "etc/systemd/system/redis-server.service.d/laurel.conf",
}
CONTAINER_SECONDS = 900


def templates():
    """Every template of the repository, as {group: paths}."""
    found = {}
    for folder, group in PLACES.items():
        paths = sorted((ROOT / folder).rglob("*.j2"))
        found.setdefault(group, []).extend(str(path.relative_to(ROOT)) for path in paths)
    return found


def make_inventory(folder):
    """The local inventory with made-up addresses; the roles' defaults lie below the data, as they do in a role."""
    everyone = folder / "group_vars" / "all"
    everyone.mkdir(parents=True)
    for path in sorted(ANSIBLE.glob("roles/*/defaults/main.yml")):
        (everyone / f"0-{path.parts[-3]}.yml").symlink_to(path)
    for path in DATA.glob("*.yml"):
        (everyone / f"1-{path.name}").symlink_to(path)
    for path in sorted(ANSIBLE.glob("roles/*/vars/main.yml")):
        (everyone / f"2-{path.parts[-3]}.yml").symlink_to(path)
    local = ANSIBLE / "inventories" / "local"
    (folder / "hosts.yml").symlink_to(local / "hosts.yml")
    (folder / "group_vars" / "laurel").mkdir()
    (folder / "group_vars" / "laurel" / "main.yml").symlink_to(local / "group_vars" / "laurel" / "main.yml")
    hosts = {name: f"{ADDRESS}.{number}" for name, number in inventory.cluster_numbers(local).items()}
    ports = {"HTTP_PORT": 8080, "HTTPS_PORT": 8443, "LOCUST_PORT": 8089}
    cluster = inventory.Cluster("laurel-test", f"{ADDRESS}.0/24", "docker", "127.0.0.1", ports, hosts)
    inventory.write(cluster, folder / "addresses.yml")


def render(folder):
    """Fill a folder with the test's inventory, what was rendered from it, and its made-up secrets and certificates."""
    make_inventory(folder / "inventory")
    extra = {
        "ansible_become": False,
        "ansible_python_interpreter": str(VENV / "bin/python"),
        "laurel_root": str(ROOT),
        "output_dir": str(folder),
        "secrets_dir": str(folder / "secrets"),
        "variants": VARIANTS,
        "rig_destination": str(folder / "rig") + "/{{ inventory_hostname }}",
        "rig_release": {"release": "0123456789ab", "wheels": "ba9876543210"},
        "templates": templates(),
        "release_built": {"release": "0123456789ab", "wheels": "ba9876543210"},
    }
    (folder / "extra.json").write_text(json.dumps(extra))
    command = [VENV / "bin/ansible-playbook", "--inventory", folder / "inventory", "--extra-vars", f"@{folder / 'extra.json'}"]
    done = subprocess.run(
        [*command, Path(__file__).with_name("render.yml")],
        env={**playbook.environment(), "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), "ANSIBLE_STRATEGY": "linear"},
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def texts(folder):
    """What was rendered into a folder: texts[variant][host][path of the template, without .j2]."""
    result = {name: {} for name in VARIANTS}
    for path in folder.glob("*.json"):
        if path.name == "extra.json":
            continue
        for variant, files in json.loads(path.read_text()).items():
            # A variable that is missing is an error in a role; here its message stands in the text.
            assert [name for name, text in files.items() if "<< error" in text] == []
            result[variant][path.stem] = {name.removesuffix(".j2"): text for name, text in files.items()}
    return result


@pytest.fixture(scope="session")
def inventory_maker():
    return make_inventory


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    render(folder)
    return folder


@pytest.fixture(scope="session")
def rendered(workshop):
    return texts(workshop)


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


@pytest.fixture
def files(rendered, variant):
    """What each host gets in one variant: files[host][path]."""
    return rendered[variant]


def place(name):
    prefix = max((prefix for prefix in ON_HOST if name.startswith(prefix)), key=len, default=None)
    assert prefix, f"{name}: tell ON_HOST where it lies on a host"
    return ON_HOST[prefix] + name.removeprefix(prefix) if prefix.endswith("/") else ON_HOST[prefix]


def lay_out(workshop, rendered):
    """Write the rendered files as trees/<variant>/<host>/<path on the host>."""
    for variant, hosts in rendered.items():
        for host, texts in hosts.items():
            root = workshop / "trees" / variant / host
            if variant == "rig":
                shutil.copytree(workshop / "rig" / host, root)
            for name, text in texts.items():
                path = root / place(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        tls = workshop / "trees" / variant / "edge/etc/laurel/tls"
        tls.mkdir()
        for name in ("edge.crt", "edge.key"):
            (tls / name).write_bytes((workshop / "inventory/pki" / name).read_bytes())


def unpack_uwsgi(folder):
    """The uWSGI that hosts get, out of the wheelhouse."""
    if not (BUILD / "app.json").is_file():
        subprocess.run(["make", "build"], cwd=ROOT, check=True, capture_output=True)
    wheels = json.loads((BUILD / "app.json").read_text())["wheels"]
    with tarfile.open(BUILD / "wheels" / f"{wheels}.tar") as archive:
        wheel = next(name for name in archive.getnames() if name.lower().startswith("uwsgi-"))
        with zipfile.ZipFile(io.BytesIO(archive.extractfile(wheel).read())) as inside:
            name = next(name for name in inside.namelist() if name.endswith(".data/scripts/uwsgi"))
            (folder / "uwsgi").write_bytes(inside.read(name))
    (folder / "uwsgi").chmod(0o755)


class Host:
    """The hosts' own software in a container, which can take the place of one host of one variant."""

    def __init__(self, container):
        self.container = container

    def run(self, script, variant=None, host=None):
        """Run a script, with the files of a host in place where one is named: (exit code, output)."""
        become = f"rm -rf /etc/laurel && cp -r /rendered/trees/{variant}/{host}/. / && " if host else ""
        done = subprocess.run(
            ["docker", "exec", self.container, "sh", "-c", f"{become}{{ {script}\n}}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout


@pytest.fixture(scope="session")
def host(workshop, rendered):
    lay_out(workshop, rendered)
    unpack_uwsgi(workshop)
    engine.ensure()
    command = ["docker", "run", "--detach", "--rm", "--network", "none", "--cap-add", "NET_ADMIN", "--volume", f"{workshop}:/rendered:ro"]
    command += ["--volume", f"{ROOT / 'nginx'}:/source-nginx:ro"]
    container = subprocess.run(
        [*command, image.builder(), "sleep", str(CONTAINER_SECONDS)], check=True, capture_output=True, text=True
    ).stdout.strip()
    host = Host(container)
    numbers = inventory.cluster_numbers(ANSIBLE / "inventories/local").values()
    code, said = host.run("\n".join(f"ip address add {ADDRESS}.{number}/32 dev lo" for number in numbers))
    assert code == 0, said
    yield host
    subprocess.run(["docker", "rm", "--force", container], capture_output=True)
