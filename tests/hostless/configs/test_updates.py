"""What a host updates by itself: Debian's security updates, and nothing that would restart what serves people."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from cluster.paths import ROOT

ANSIBLE = ROOT / "ansible"
TEMPLATES = "ansible/roles/common/templates/"
PATH = TEMPLATES + "security-updates.conf"
DATA = yaml.safe_load((ANSIBLE / "group_vars/all/packages.yml").read_text())
# Debian's own two files, as unattended-upgrades 2.9.1 brings them: the host's are read before ours.
DEBIANS = """
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Origins-Pattern {
    "origin=Debian,codename=${distro_codename},label=Debian";
    "origin=Debian,codename=${distro_codename},label=Debian-Security";
    "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";
};
Unattended-Upgrade::Package-Blacklist { };
"""


@pytest.fixture
def settings(tmp_path, rendered):
    """What apt makes of Debian's files and ours: {name: [values]} of a variant."""
    if not shutil.which("apt-config"):
        pytest.skip("no apt on this machine")

    def settings(variant, host="app1"):
        (tmp_path / "50debian").write_text(DEBIANS)
        (tmp_path / "60laurel").write_text(rendered[variant][host][PATH])
        (tmp_path / "apt.conf").write_text(f'Dir::Etc::parts "{tmp_path}/none";\n')
        # Read one after the other, as those of a folder are.
        (tmp_path / "all").write_text(f'#include "{tmp_path}/50debian";\n#include "{tmp_path}/60laurel";\n')
        command = ["apt-config", f"--config-file={tmp_path}/all", "dump"]
        environment = os.environ | {"APT_CONFIG": str(tmp_path / "apt.conf")}
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        found = {}
        for name, value in re.findall(r'^(\S+?)(?:::)? "(.*)";$', said, re.MULTILINE):
            if value:
                found.setdefault(name, []).append(value)
        return found

    return settings


def left_out(text):
    """Whether unattended-upgrades leaves a package out, by its rule: re.match of each line."""
    lines = re.findall(r'^    "(.+)";$', text.partition("Package-Blacklist {")[2], re.MULTILINE)
    assert lines
    return lambda package: any(re.match(line, package) for line in lines)


def test_only_the_security_archive_is_taken_from(settings):
    found = settings("mixed")
    assert found["Unattended-Upgrade::Origins-Pattern"] == ["origin=Debian,codename=${distro_codename}-security,label=Debian-Security"]
    assert "Unattended-Upgrade::Allowed-Origins" not in found


def test_it_is_done_each_day_and_reboots_nothing(settings):
    assert DATA["unattended_security_updates"] is True
    found = settings("foreign")
    assert found["APT::Periodic::Unattended-Upgrade"] == found["APT::Periodic::Update-Package-Lists"] == ["1"]
    assert found["Unattended-Upgrade::Automatic-Reboot"] == ["false"]


def test_it_is_off_where_the_inventory_says_so(settings):
    """As the local cluster's does."""
    assert settings("mixed")["APT::Periodic::Unattended-Upgrade"] == ["0"]


@pytest.mark.parametrize(
    "package",
    [
        *("nginx", "nginx-common", "libnginx-mod-http-brotli-static", "redis-server", "redis-tools", "mosquitto"),
        *("postgresql-15", "postgresql-common", "postgresql-client-15"),
    ],
)
def test_what_serves_people_is_left_out(rendered, package):
    assert left_out(rendered["mixed"]["data"][PATH])(package)


@pytest.mark.parametrize("package", ["libssl3", "openssl", "libc6", "openssh-server", "python3.11", "libpython3.11", "linux-image-amd64"])
def test_everything_else_is_taken(rendered, package):
    assert not left_out(rendered["mixed"]["data"][PATH])(package)


def test_the_packages_of_what_serves_people_are_named_in_one_place():
    """Their roles install what packages.yml says, and `make upgrade-os` starts the same services anew."""
    for group in DATA["service_packages"]:
        tasks = (ANSIBLE / f"roles/{group}/tasks/main.yml").read_text()
        assert re.search(rf"service_packages\.{group}\b", tasks)
        upgrade = (ANSIBLE / "upgrade.yml").read_text()
        assert re.search(rf"^  hosts: (?:\S*:)?{group}(?::\S*)?$", upgrade, re.MULTILINE)


def test_the_answer_is_the_same_on_every_host(rendered):
    assert len({texts[PATH] for texts in rendered["mixed"].values()}) == 1


def test_nothing_is_restarted_for_a_library(rendered):
    said = rendered["mixed"]["app1"][TEMPLATES + "apt-daily-upgrade.service.conf"]
    assert said.splitlines()[1] == "[Service]" and said.splitlines()[-1] == "Environment=NEEDRESTART_MODE=l"
