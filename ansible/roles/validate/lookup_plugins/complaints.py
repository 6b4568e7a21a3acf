"""What is wrong with an inventory: each complaint says what was seen, what is expected and how to mend it.

The data in group_vars/all is its own schema: an inventory may give a value of the same kind, and no other name.
"""

import difflib
import ipaddress
import itertools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml
from ansible.plugins.lookup import LookupBase

# Names that Ansible, the local cluster or a connection brings.
FOREIGN = re.compile(
    r"ansible_.*|cluster_.*|group_names|groups|inventory_.*|hostvars|omit|play_hosts|playbook_dir|role_name.*|environment|vars|validate_complaints"
)
# Holding a secret, or made of one: looking at them would make the secret.
UNREAD = {
    "secrets", "secrets_before", "application_environment", "application_owner_environment", "application_database_login",
    "application_database_owner_login", "mqtt_names",
}  # fmt: skip
ROLES = {"nginx": "the edge", "app": "uWSGI and Daphne", "postgresql": "the database", "redis": "the channel layer"}
PORTS = ("public_http_port", "public_https_port", "locust_port")
HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
APPLICATION_LOGIN = re.compile(r"\bapplication_database_login\b|\bdatabase_password\b")
SECRET = re.compile(r"[A-Za-z0-9]{16,128}")
KINDS = {"int": int, "str": str, "list": list, "dict": dict, "bool": bool, "path": str}
SCALED = {"uwsgi": "uwsgi_processes", "daphne": "daphne_instances"}
HIGHEST_SCALE = 64
HIGHEST_BACKLOG = 4096  # net.core.somaxconn of Debian 12
UWSGI_OWN_BYTES = 2048  # variables that nginx adds to the headers


class Inventory:
    """The variables of one host, worked out one by one; a complaint where that fails."""

    def __init__(self, variables, groups, hosts, playbook_dir, inventory_dir):
        self.raw, self.groups, self.hosts = variables, groups, hosts
        self.unworked = getattr(variables, "variables", variables)  # as they are written, {{ }} and all
        self.ansible, self.folder = Path(playbook_dir), Path(inventory_dir)
        self.root = self.ansible.parent
        self.reference = {}
        for path in sorted((self.ansible / "group_vars/all").glob("*.yml")):
            self.reference |= yaml.safe_load(path.read_text()) or {}
        self.options, self.defaults = {}, {}
        for path in sorted(self.ansible.glob("roles/*/meta/argument_specs.yml")):
            for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
                self.options |= entry.get("options", {})
        for path in sorted(self.ansible.glob("roles/*/defaults/main.yml")):
            self.defaults |= yaml.safe_load(path.read_text()) or {}
        self.values, self.broken = {}, {}
        for name in self.raw:
            if not FOREIGN.fullmatch(name) and name not in UNREAD:
                self._read(name)

    def _read(self, name):
        try:
            self.values[name] = self.raw[name]
        except Exception as error:  # whatever Jinja or a lookup says
            self.broken.setdefault(" ".join(str(error).split())[:200], []).append(name)

    def because(self):
        """One complaint for each reason, with the variables that suffer from it."""
        return [f"{', '.join(names)} cannot be worked out: {why}; look at the {{{{ }}}} there" for why, names in self.broken.items()]

    def get(self, name, kind):
        """A value of this kind, or None; another kind was complained of already."""
        value = self.values.get(name, self.defaults.get(name))
        return value if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else None


def number(value):
    """A whole number, also as Ansible's templates give it; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else None


def closest(name, names):
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    return f"; do you mean {found[0]}?" if found else ""


def names(inventory, renamed):
    known = {*inventory.reference, *inventory.options, *inventory.defaults}
    for name in inventory.raw:
        if name in renamed:
            yield f"{name} has another name now: write {renamed[name]}"
        elif name not in known and not FOREIGN.fullmatch(name) and name.startswith(tuple({n.partition("_")[0] + "_" for n in known})):
            yield f"there is no variable {name}{closest(name, known) or '; take it out of the inventory'}"
        elif name not in known and not FOREIGN.fullmatch(name) and closest(name, known):
            yield f"there is no variable {name}{closest(name, known)}"


def kinds(inventory):
    """Values of another kind than the default's, or than the role's argument_specs.yml asks for."""
    for name, value in inventory.values.items():
        option = inventory.options.get(name, {})
        kind = KINDS.get(option.get("type"))
        if "choices" in option and value not in option["choices"]:
            yield f"{name} is {value!r}; expected one of {', '.join(map(str, option['choices']))}"
        elif kind is int and number(value) is None and name not in PORTS:
            yield f"{name} is {value!r}; expected a whole number, as in {name}: {inventory.defaults.get(name, 443)}"
        elif kind in (list, dict, str, bool) and not isinstance(value, kind):
            yield f"{name} is {value!r}; expected a {kind.__name__}"
        elif name.startswith("application_") and name in inventory.reference:
            reference = inventory.reference[name]
            worked_out = isinstance(reference, str) and "{{" in reference
            if not worked_out and isinstance(value, str) is not isinstance(reference, str):
                yield f"{name} is {value!r}; expected the same kind as in {name}: {reference!r}"


def tables(inventory):
    """sizes, timeouts and limits: an inventory's replaces ours as a whole, so it must be whole."""
    for table in ("sizes", "timeouts", "limits"):
        reference, values = inventory.reference[table], inventory.get(table, dict)
        if values is None:
            if table not in inventory.options:  # else complained of already, with the other kinds
                yield f"{table} is {inventory.values.get(table)!r}; expected names and values, as in ansible/group_vars/all/{table}.yml"
            continue
        for name in sorted(values.keys() - reference.keys()):
            yield f"{table} has no {name}{closest(name, reference)}; the names are those of ansible/group_vars/all/{table}.yml"
        if missing := [name for name in reference if name not in values]:
            yield (
                f"{table} lacks {', '.join(missing)}: an inventory's {table} replaces the default as a whole; "
                f"copy all of ansible/group_vars/all/{table}.yml"
            )
        for name in sorted(reference.keys() & values.keys()):
            yield from _entry(f"{table}.{name}", values[name], reference[name])


def _entry(name, value, reference):
    if isinstance(reference, int):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield f"{name} is {value!r}; expected a whole number above 0, as in {name.partition('.')[2]}: {reference}"
    elif reference == "auto":
        if value != "auto" and (number(value) or 0) < 1:
            yield f"{name} is {value!r}; expected auto or a number above 0"
    elif not (isinstance(value, str) and re.fullmatch(r"[1-9]\d*[kKmMgG][bB]?", value)):
        yield f"{name} is {value!r}; expected a number with a unit, as in {name.partition('.')[2]}: {reference}"


def budget(inventory, chains):
    timeouts, sizes, limits = (inventory.get(name, dict) or {} for name in ("timeouts", "sizes", "limits"))
    for why, chain in chains.items():
        for inner, outer in itertools.pairwise(chain):
            if isinstance(timeouts.get(inner), int) and isinstance(timeouts.get(outer), int) and timeouts[inner] >= timeouts[outer]:
                yield (
                    f"timeouts.{inner} is {timeouts[inner]} and timeouts.{outer} is {timeouts[outer]}; "
                    f"expected the first to be smaller ({why}): raise {outer} or lower {inner}"
                )
    if (backlog := number(sizes.get("listen_backlog"))) and backlog > HIGHEST_BACKLOG:
        yield f"sizes.listen_backlog is {backlog}; expected at most {HIGHEST_BACKLOG} (net.core.somaxconn), else uWSGI does not start"
    scaled = inventory.get("scaled", dict) or {}
    for name, count in scaled.items():
        if name not in SCALED:
            yield f"scaled has no {name}{closest(name, SCALED)}; expected {' and '.join(SCALED)}, as `make scale` writes them"
        elif not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= HIGHEST_SCALE:
            yield f"scaled.{name} is {count!r}; expected a number from 1 to {HIGHEST_SCALE}, as `make scale` writes it"
    counts = {name: number(scaled.get(name, sizes.get(size))) for name, size in SCALED.items()}
    hosts, most = len(inventory.groups.get("app") or []), number(sizes.get("postgresql_max_connections"))
    if all(counts.values()) and most and hosts * sum(counts.values()) >= most:
        yield (
            f"{hosts} app hosts with {counts['uwsgi']} uWSGI and {counts['daphne']} Daphne processes keep {hosts * sum(counts.values())} "
            f"connections to the database, and sizes.postgresql_max_connections is {most}: raise it, or run fewer"
        )
    waiting, processes = number(sizes.get("uwsgi_waiting")), counts["uwsgi"]
    if waiting and processes and waiting >= processes:
        yield f"sizes.uwsgi_waiting is {waiting} of {processes} uwsgi_processes; expected fewer, else streams leave no worker for pages"
    try:
        taken = limits["header_lines"] * _bytes(limits["header_line_long"]) + _bytes(limits["header_line"]) + UWSGI_OWN_BYTES
        if taken > sizes["uwsgi_buffer_bytes"]:
            buffer = sizes["uwsgi_buffer_bytes"]
            yield f"limits lets in {taken} bytes of headers and sizes.uwsgi_buffer_bytes is {buffer}; raise the buffer to {taken}"
    except (KeyError, TypeError, ValueError):
        pass  # complained of already


def _bytes(text):
    return int(text[:-1]) * {"k": 1024, "m": 1024**2}[text[-1].lower()]


def topologies(inventory):
    topologies_known, servers = inventory.get("topologies", dict), inventory.get("servers", dict)
    chosen = inventory.values.get("topology")
    if not topologies_known or not servers:
        yield "topologies and servers must be tables, as in ansible/group_vars/all/topologies.yml and servers.yml"
        return
    if chosen not in topologies_known:
        yield f"topology is {chosen!r}; expected one of {', '.join(topologies_known)}"
    for name, sides in topologies_known.items():
        if not isinstance(sides, dict) or set(sides) != {"http", "websocket"}:
            yield f"the topology {name} is {sides!r}; expected {{http: <server>, websocket: <server or none>}}"
            continue
        for side, server in sides.items():
            if server not in servers and not (side == "websocket" and server == "none"):
                known = ", ".join([*servers, *(["none"] if side == "websocket" else [])])
                yield f"the topology {name} has {server!r} for {side}; expected one of {known}"
    for name, server in servers.items():
        if (
            not isinstance(server, dict)
            or server.get("protocol") not in ("uwsgi", "http")
            or not server.get("ports")
            or not server.get("units")
        ):
            expected = "a protocol (uwsgi or http), ports and units, as in ansible/group_vars/all/servers.yml"
            yield f"the server {name} is {server!r}; expected {expected}"


def hosts_and_groups(inventory):
    for group, what in ROLES.items():
        if not inventory.groups.get(group):
            yield f"the group {group} ({what}) has no host; write one into {inventory.folder.name}/hosts.yml: {group}: hosts: <name>:"
    if (count := len(inventory.groups.get("redis") or [])) and count % 2 == 0:
        yield f"the group redis has {count} hosts; expected one, or three or five: Sentinels agree by a majority on which of them leads"
    for group in ("postgresql", "mosquitto"):
        if len(inventory.groups.get(group) or []) > 1:
            yield f"the group {group} has {len(inventory.groups[group])} hosts; expected one: the application is told of one only"
    seen = {}
    for host in inventory.groups.get("laurel") or []:
        address = str(inventory.hosts[host].get("ansible_host") or host)
        if address in seen:
            yield f"{seen[address]} and {host} have the same address {address}; a host stands once, and may be in several groups"
        seen.setdefault(address, host)
        if re.fullmatch(r"[0-9.]+", address) and not _is_address(address):
            yield f"the ansible_host of {host} is {address!r}; expected an address as in 192.0.2.10"


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def ports(inventory):
    seen = {}
    for name in PORTS:
        value = number(inventory.values.get(name))
        if name in inventory.values and (value is None or not 1 <= value <= 65535):
            yield f"{name} is {inventory.values[name]!r}; expected a port from 1 to 65535"
        elif value and name != "locust_port":
            if value in seen:
                yield f"{name} and {seen[value]} are both {value}; expected two ports"
            seen[value] = name
    for flow in inventory.get("flows", list) or []:
        label = flow.get("why", flow) if isinstance(flow, dict) else flow
        if not isinstance(flow, dict) or not {"from", "to", "ports", "why"} <= set(flow):
            yield f"the flow {label!r} has not all of from, to, ports and why; see ansible/group_vars/all/flows.yml"
            continue
        for end in ("from", "to"):
            allowed = {*inventory.groups, *inventory.reference_groups, *(["any"] if end == "from" else [])}
            if flow[end] not in allowed:
                meant = closest(str(flow[end]), inventory.groups)
                yield f"the flow {label!r} goes {end} {flow[end]!r}; expected a group of the inventory{meant}"
        for port in flow["ports"] if isinstance(flow["ports"], list) else [flow["ports"]]:
            told = str(port) in {str(inventory.values.get(name)) for name in PORTS}  # complained of already
            if not told and (number(port) is None or not 1 <= number(port) <= 65535):
                yield f"the flow {label!r} names the port {port!r}; expected a number from 1 to 65535"


def application(inventory):
    for name in ("application_wsgi_module", "application_asgi_module"):
        value = inventory.get(name, str)
        if value is not None and not (value.count(":") == 1 and all(MODULE.fullmatch(part) for part in value.split(":"))):
            yield f"{name} is {value!r}; expected <module>:<attribute>, as in {inventory.reference[name]}"
    value = inventory.get("application_settings_module", str)
    if value is not None and not MODULE.fullmatch(value):
        yield f"application_settings_module is {value!r}; expected a module, as in {inventory.reference['application_settings_module']}"
    for name in ("application_static_url", "application_websocket_path"):
        value = inventory.get(name, str)
        if value is not None and not re.fullmatch(r"/([\w.~-]+/)+", value):
            yield f"{name} is {value!r}; expected a path that begins and ends with a slash, as in {inventory.reference[name]}"
    for name in ("application_health_path", "application_ready_path"):
        value = inventory.get(name, str)
        if value is not None and not re.fullmatch(r"/[\w./~-]*", value):
            yield f"{name} is {value!r}; expected a path that begins with a slash, as in {inventory.reference[name]}"
    user = inventory.get("application_user", str)
    if user is not None and not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        yield f"application_user is {user!r}; expected a name of a Linux user: small letters, digits, - and _"
    if user == "root":
        yield "application_user is root; expected a user of its own, as in application_user: app"
    for path in inventory.get("application_stream_paths", list) or []:
        try:
            re.compile(path)
        except (re.error, TypeError) as error:
            yield f"application_stream_paths has {path!r}, which is no regular expression: {error}"
    for name in inventory.get("application_worker_commands", dict) or {}:
        if not re.fullmatch(r"[a-z0-9-]+", str(name)):
            yield f"application_worker_commands has {name!r}; expected small letters, digits and -, for worker-<name>.service"
    source = inventory.get("application_source", str)
    if source is not None and not (inventory.root / source).is_dir():
        yield f"application_source is {source!r}, and there is no such folder in the repository; name one, as in application_source: app"
    elif source is not None:
        yield from _lock(inventory, f"{source}/{inventory.get('application_requirements', str)}")
    for name in inventory.get("application_extra_requirements", list) or []:
        yield from _lock(inventory, str(name))


def logins(inventory):
    """Migrations log in as the owner: looked at as they are written, since working them out would make the secrets."""
    told, owner = (
        inventory.unworked.get(name, inventory.reference[name]) for name in ("application_environment", "application_owner_environment")
    )
    if not isinstance(told, Mapping) or not isinstance(owner, Mapping):
        return  # made of other variables: the names in it are not known
    if owner == inventory.reference["application_owner_environment"]:
        wrong = [name for name in told if APPLICATION_LOGIN.search(str(told[name])) and name not in owner]
        unread = [name for name in owner if name not in told]
    else:
        # A name that the application reads for migrations only is the inventory's to choose.
        chosen = owner.keys() - told.keys()
        wrong = [name for name in told if APPLICATION_LOGIN.search(str(owner.get(name, "" if chosen else told[name])))]
        unread = []
    if wrong or unread:
        seen = f"tells the application's login in {', '.join(wrong)}" if wrong else f"has no {', '.join(unread)}"
        yield (
            f"application_environment {seen}, and application_owner_environment {'does not replace it' if wrong else 'gives one'}: "
            "PostgreSQL would refuse migrations; write application_owner_environment with the same names, of "
            "application_database_owner_login and secrets.database_owner_password, as in ansible/group_vars/all/application.yml"
        )


def _lock(inventory, name):
    path = inventory.root / name
    if not path.is_file():
        yield f"there is no {name}; expected a lock with hashes, as `pip-compile --generate-hashes` makes it"
    elif "--hash=" not in path.read_text(errors="replace"):
        yield f"{name} has no hashes; make it with: pip-compile --generate-hashes"


def site(inventory):
    given = inventory.get("server_names", list)
    if given == []:
        yield "server_names is empty; expected the names that browsers use, as in server_names: [www.example.org]"
    for name in given or []:
        if not (isinstance(name, str) and (HOST_NAME.fullmatch(name) or _is_address(name))):
            yield f"server_names has {name!r}; expected a host name without scheme, port and path, as in www.example.org"
    seconds = inventory.values.get("nginx_hsts_seconds", 0)
    if (number(seconds) or 0) < 0:
        yield f"nginx_hsts_seconds is {seconds}; expected 0 or more, as in nginx_hsts_seconds: 63072000"
    if inventory.get("nginx_certificate", str) == "files":
        yield from certificates(inventory)


def certificates(inventory):
    """Where the certificate is the operator's own: it and its key are there, belong together and have not ended."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    read = {}
    for name, load in {
        "nginx_certificate_file": x509.load_pem_x509_certificate,
        "nginx_key_file": lambda b: load_pem_private_key(b, None),
    }.items():
        path = Path(str(inventory.values.get(name, "")))
        if name not in inventory.values or not path.is_file():
            yield f"{name} is {str(path)!r}, and there is no such file; expected one in PEM form, because nginx_certificate is files"
            continue
        try:
            read[name] = load(path.read_bytes())
        except (ValueError, TypeError) as error:
            yield f"{name} ({path}) cannot be read as PEM: {str(error)[:80]}; expected an unencrypted file"
    certificate, key = read.get("nginx_certificate_file"), read.get("nginx_key_file")
    if certificate and certificate.not_valid_after_utc < datetime.now(UTC):
        yield f"the certificate in nginx_certificate_file ended on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it"
    if certificate and key and certificate.public_key() != key.public_key():
        yield "the key in nginx_key_file is not that of the certificate in nginx_certificate_file; name the two that belong together"


def secrets(inventory):
    """Those that lie there already: an operator may have written one."""
    folder = inventory.ansible / "secrets" / inventory.folder.name
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix in (".lock", ".lockfile") or path.name.startswith(".") or not path.is_file():
            continue
        text = path.read_text(errors="replace").removesuffix("\n")
        if not SECRET.fullmatch(text):
            yield f"{_unfit(path.name, text)}; to have a new one made: rm ansible/secrets/{inventory.folder.name}/{path.name}"


def _unfit(name, text):
    return (
        f"the secret {name} ({len(text)} characters) is not made of 16 to 128 letters and digits, and it stands in URLs and "
        "configuration without quoting"
    )


def given_secrets(inventory):
    """Where an inventory gives them, as a vault does, it gives all. Templates in them are not worked out."""
    reference = inventory.reference["secrets"]
    given = inventory.unworked.get("secrets", reference)
    if given == reference or not isinstance(given, Mapping):
        return
    broker, users = inventory.get("application_mqtt_broker", dict) or {}, inventory.get("application_mqtt_users", list) or []
    of_broker = given.get("mqtt_passwords")
    missing = [name for name in reference if name not in given]
    if isinstance(of_broker, Mapping):
        missing += [f"mqtt_passwords.{user}" for user in (broker.get("user"), *users) if user not in of_broker]
    if missing:
        yield (
            f"secrets lacks {', '.join(missing)}: an inventory's secrets replace the default as a whole; write each of them there, "
            "such as one of `openssl rand -hex 20`"
        )
    for name, text in [*given.items(), *(of_broker.items() if isinstance(of_broker, Mapping) else ())]:
        if isinstance(text, str) and "{{" not in text and not SECRET.fullmatch(text):
            yield f"{_unfit(name, text)}; write another there, such as one of `openssl rand -hex 20`"


def complaints(variables, hosts, groups, playbook_dir, chains, renamed):
    """Return what is wrong, as a list of sentences; empty where nothing is.

    variables: a mapping that works out a value when it is asked for; hosts: {host: its own variables}, groups: {group: hosts}.
    """
    inventory = Inventory(variables, groups, hosts, playbook_dir, variables["inventory_dir"])
    if inventory.broken:  # what is built on them would be complained of as well
        return inventory.because()
    inventory.reference_groups = {"laurel", *ROLES, "mosquitto", "locust", "monitoring"}
    found = [*names(inventory, renamed), *kinds(inventory), *tables(inventory), *budget(inventory, chains)]
    found += [*topologies(inventory), *hosts_and_groups(inventory), *ports(inventory), *application(inventory)]
    found += [*logins(inventory), *site(inventory), *secrets(inventory), *given_secrets(inventory)]
    return list(dict.fromkeys(str(sentence) for sentence in found))


class WorkedOut(Mapping):
    """A host's variables; each is templated when it is read."""

    def __init__(self, variables, templar):
        self.variables, self.templar = variables, templar

    def __getitem__(self, name):
        return self.templar.template(self.variables[name])

    def __iter__(self):
        return iter(self.variables)

    def __len__(self):
        return len(self.variables)


class LookupModule(LookupBase):
    """`lookup('complaints', chains, renamed)`, on the first host of the inventory."""

    def run(self, terms, variables=None, **_):
        chains, renamed = terms
        hosts = {host: variables["hostvars"][host] for host in variables["groups"]["laurel"]}
        values = WorkedOut(variables, self._templar)
        return [complaints(values, hosts, variables["groups"], variables["playbook_dir"], chains, renamed)]
