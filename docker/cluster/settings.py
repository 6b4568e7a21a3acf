"""The knobs of the verbs. Each comes from the environment, where the Makefile puts it."""

import os
from dataclasses import dataclass

from .console import Failure
from .paths import inventory

PROVIDERS = ("docker", "libvirt", "virtualbox")
REDIS = ("single", "ha")


@dataclass(frozen=True)
class Settings:
    environment: str
    provider: str
    bind: str
    ports: dict[str, int]  # name of the setting -> port, as asked for; empty where nothing was asked
    provider_asked: bool = False  # else `provider` is only the default
    redis: str = ""  # what the local cluster's channel layer shall be, one of REDIS; empty: as it is

    @property
    def local(self) -> bool:
        """Whether this environment's hosts are the local cluster's, which the verbs boot themselves."""
        return self.environment == "local"


PORT_SETTINGS = {"HTTP_PORT": 8080, "HTTPS_PORT": 8443, "LOCUST_PORT": 8089}


def port(name: str, value: str) -> int:
    example = f"make deploy {name}={PORT_SETTINGS[name]}" if name in PORT_SETTINGS else f"make dashboard {name}=9190"
    if not (value.isascii() and value.isdigit()) or not 1024 <= int(value) <= 65535:
        raise Failure(f"{name} is {value!r}; expected a port from 1024 to 65535, as in: {example}")
    return int(value)


def read() -> Settings:
    environment = os.environ.get("ENVIRONMENT") or "local"
    folder = inventory(environment)
    if "/" in environment or not (folder / "hosts.yml").is_file():
        known = sorted(path.parent.name for path in folder.parent.glob("*/hosts.yml"))
        raise Failure(
            f"there is no environment {environment!r}; there are: {', '.join(known)}. "
            f"A new one is a folder ansible/inventories/{environment}/ with a hosts.yml"
        )
    provider = os.environ.get("PROVIDER") or "docker"
    if provider not in PROVIDERS:
        raise Failure(f"PROVIDER is {provider!r}; expected one of {', '.join(PROVIDERS)}")
    redis = os.environ.get("REDIS") or ""
    if redis and redis not in REDIS:
        raise Failure(f"REDIS is {redis!r}; expected one of {', '.join(REDIS)}, as in: make deploy REDIS=ha")
    asked = {name: port(name, os.environ[name]) for name in PORT_SETTINGS if os.environ.get(name)}
    return Settings(environment, provider, os.environ.get("BIND") or "127.0.0.1", asked, bool(os.environ.get("PROVIDER")), redis)
