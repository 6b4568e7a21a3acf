"""What holds for the repository as a whole."""

import re
import subprocess

import pytest
import yaml

from cluster.paths import ROOT

ROLES = sorted(path.name for path in (ROOT / "ansible/roles").iterdir() if path.is_dir())


def tracked(*patterns):
    """The repository's files as {path: text}; binary ones are left out."""
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for name in listed.split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in (content := path.read_bytes()):
            found[name] = content.decode()
    return found


def modules_of_the_application():
    app = ROOT / "app"
    paths = [path.relative_to(app) for path in app.rglob("*.py") if "tests" not in path.parts and len(path.relative_to(app).parts) > 1]
    return {".".join(path.with_suffix("").parts) for path in paths}


def test_nothing_outside_the_application_names_a_module_of_it():
    names = "|".join(map(re.escape, sorted(modules_of_the_application())))
    packages = "|".join(sorted({name.split(".")[0] for name in modules_of_the_application()}))
    named = re.compile(rf"(?<![\w.])(?:{names})(?![\w])|^\s*(?:from|import) (?:{packages})\b", re.MULTILINE)
    home = "ansible/group_vars/all/application.yml"
    assert named.search((ROOT / home).read_text())
    elsewhere = tracked(":!app", ":!docs", ":!tests", ":!*.md", f":!{home}")
    assert {name: found[0] for name, text in elsewhere.items() if (found := named.search(text))} == {}


def test_the_application_names_nothing_of_the_house():
    house = re.compile(r"^\s*(?:from|import) (?:cluster|loadtests|laurel_daphne)\b", re.MULTILINE)
    assert [name for name, text in tracked("app").items() if house.search(text)] == []


def test_only_the_lab_reaches_the_hosts():
    reach = re.compile(r"ssh_config|\bdocker exec\b|paramiko")
    assert {name for name, text in tracked("loadtests/*.py").items() if reach.search(text)} <= {"loadtests/lab/hosts.py"}


def test_no_file_holds_a_path_of_this_machine():
    here = [re.escape(str(ROOT))] if len(ROOT.parts) > 2 else []
    personal = re.compile("|".join([*here, r"/home/\w+/", r"(?<![\w.])/(?:root)/[\w.]"]))
    assert {name: found[0] for name, text in tracked().items() if (found := personal.search(text))} == {}


def test_no_file_names_a_package_index():
    index = re.compile(r"(?:--(?:extra-)?index-url|--find-links|--trusted-host)\b|/simple/?(?=[\s\"']|$)", re.MULTILINE)
    locks = tracked("*requirements*.txt", "*requirements*.in")
    assert locks
    assert {name: index.search(text)[0] for name, text in locks.items() if index.search(text)} == {}


def test_every_lock_has_hashes():
    for name, text in tracked("*requirements*.txt").items():
        pins = re.findall(r"^[\w.\-\[\]]+==\S+.*$", text, re.MULTILINE)
        assert pins, name
        assert [pin for pin in pins if not pin.endswith("\\")] == [], name


@pytest.mark.parametrize("role", ROLES)
def test_a_role_describes_each_of_its_arguments(role):
    folder = ROOT / "ansible/roles" / role
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]
    assert "main" in specs
    described = set()
    for entry in specs.values():
        assert entry["short_description"]
        for name, option in entry.get("options", {}).items():
            assert option["type"] and option["description"], f"{role}: {name}"
            described.add(name)
    defaults = folder / "defaults/main.yml"
    known = set(yaml.safe_load(defaults.read_text()) or {}) if defaults.is_file() else set()
    assert known <= described, f"{role}: not in argument_specs.yml: {known - described}"


@pytest.mark.parametrize("role", ROLES)
def test_the_variables_of_a_role_carry_its_name(role):
    defaults = ROOT / "ansible/roles" / role / "defaults/main.yml"
    assert [name for name in yaml.safe_load(defaults.read_text()) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_used_by_the_site(role):
    assert re.search(rf"role: {role}\b", (ROOT / "ansible/site.yml").read_text())


def verbs():
    """The targets of the Makefile."""
    rules = re.findall(r"^([a-z][a-z -]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {verb for rule in rules for verb in rule.split()}


def test_every_command_in_the_documents_exists():
    said = re.compile(r"(?:^|`|\$ |&& )make ([a-z][a-z-]*)", re.MULTILINE)
    wrong = {(name, verb) for name, text in tracked("*.md").items() for verb in said.findall(text) if verb not in verbs()}
    assert wrong == set()


def test_make_prints_every_verb_that_it_has():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    assert phony == verbs()
    printed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    documented = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert documented
    assert [verb for verb in documented if not re.search(rf"^  {verb} ", printed, re.MULTILINE)] == []


def test_what_is_generated_is_ignored_by_git():
    of_the_environment = ["addresses.yml", "ssh_config", "ssh/x", "pki/x", "group_vars/laurel/topology.yml"]
    generated = [".venv/x", ".laurel/x", "build/x", "results/x", ".vagrant/x", "ansible/secrets/local/x"]
    generated += [f"ansible/inventories/local/{name}" for name in of_the_environment]
    ignored = subprocess.run(["git", "-C", ROOT, "check-ignore", *generated], capture_output=True, text=True).stdout.split()
    assert ignored == generated
