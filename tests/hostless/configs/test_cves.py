"""The table of known vulnerabilities: what the locks pin answers each, and what is said of a setting is so."""

import re

import pytest
import yaml
from packaging.version import Version

from audit import cves
from cluster.paths import ROOT

ALSO = {entry["also"] for entry in cves.KNOWN if "also" in entry}
GROUP_VARS, ROLES = ROOT / "ansible/group_vars/all", ROOT / "ansible/roles"


@pytest.mark.parametrize("entry", [entry for entry in cves.KNOWN if cves.locked(entry["in"])], ids=lambda entry: entry["cve"][0])
def test_what_is_locked_has_the_fix(entry):
    assert Version(cves.locked(entry["in"])) >= Version(entry["fixed"])


def test_an_entry_names_a_package_that_is_there_and_each_vulnerability_once():
    names = [name for entry in cves.KNOWN for name in entry["cve"]]
    assert len(names) == len(set(names)) and all(re.fullmatch(r"CVE-\d{4}-\d{4,}", name) for name in names)
    assert {entry["in"] for entry in cves.KNOWN} == set(cves.PACKAGES)


def test_no_configuration_has_a_rewrite():
    assert "no rewrite in any configuration" in ALSO
    templates = sorted((ROOT / "nginx").rglob("*.j2"))
    assert len(templates) > 10
    for path in templates:
        assert not re.search(r"^\s*rewrite\b", path.read_text(), re.MULTILINE), path


def test_redis_has_no_tls_port_no_cluster_and_no_replica_that_can_be_written_to():
    settings = (ROLES / "redis/templates/redis.conf.j2").read_text()
    assert "\nport 6379\n" in settings
    assert not re.search(r"^(tls-port|cluster-enabled|(replica|slave)-read-only)\b", settings, re.MULTILINE)


def test_the_acl_grants_the_channel_layer_no_scripts_no_restore_and_no_hyperloglog():
    rules = (ROLES / "redis/templates/users.acl.j2").read_text().splitlines()
    (rule,) = [line for line in rules if line.startswith("user {{ application_broker.user }} on")]
    assert " resetkeys " in rule and "-@all {{ redis_commands" in rule and rule.count("+") == 1
    granted = yaml.safe_load((ROLES / "redis/defaults/main.yml").read_text())["redis_commands"]
    assert set(granted) == {"publish", "subscribe", "unsubscribe", "ping", "auth", "hello", "client|setname", "select"}


def test_a_setting_that_is_named_is_there():
    for also in ALSO:
        for table, name in re.findall(r"\b(limits|sizes)\.(\w+)", also):
            assert name in yaml.safe_load((GROUP_VARS / f"{table}.yml").read_text())[table]


def test_the_application_has_no_admin_no_gis_no_translations_and_no_cache():
    settings = (ROOT / "app/project/settings.py").read_text()
    assert not re.search(r"contrib\.(admin|gis)|^CACHES|cache\.middleware|LocaleMiddleware", settings, re.MULTILINE)
    assert "USE_I18N = False" in settings
