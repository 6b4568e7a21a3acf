"""Switch a host to a release, unit by unit, and back again where it is not healthy afterwards."""

import os

from . import probe, units
from .settings import Failed, until
from .units import Unit


class Relay:
    def __init__(self, settings, releases):
        self.settings, self.releases = settings, releases
        self.units = [Unit(about, releases, settings["user"]) for about in settings["units"]]

    def plan(self, release):
        """What a switch to this release would do: {current, release, units: {unit: restart or reload}, out, needed}.

        `out`: a server is restarted, so the host had better be out of nginx's rotation meanwhile.
        """
        current = self.releases.current
        if current != release:
            # It need not be staged yet: every unit takes it.
            todo = {unit.name: "restart" if unit.outdated() else unit.takes_release for unit in self.units if unit.whose != "none"}
            todo = {unit.name: "restart" for unit in self.units if unit.whose == "none" and unit.outdated()} | todo
        else:
            todo = {unit.name: how for unit in self.units if (how := unit.needs(release))}
        known = "good_at" in self.releases.notes(release) and "bad_at" not in self.releases.notes(release)
        out = any(todo.get(unit.name) == "restart" for unit in self.units if unit.takes_release == "reload")
        return {"current": current, "release": release, "units": todo, "out": out, "needed": bool(todo) or current != release or not known}

    def switch(self, release, forced=None):
        """Make it current, bring every unit to it, ask each server. `forced`: reload or restart what needs neither.

        Returns what was done as {unit: how}. Raises Failed, with the former release serving again.
        """
        before = self.releases.current
        try:
            self.releases.make_current(release)
            done = self.bring(release, forced)
            self.gate()
        except Failed as failure:
            if before != release:
                self.releases.mark_bad(release, str(failure))
                self.releases.make_current(before)
                self.bring(before, None)
                self.gate()
            raise
        self.releases.mark_good(release)
        return done

    def bring(self, release, forced):
        units.systemctl("daemon-reload")
        left, done = set(), {}
        for unit in self.units:
            how = unit.needs(release)
            if forced and unit.whose != "none" and how != "restart":
                how = unit.takes_release if forced == "reload" else "restart"
            if how:
                left |= self.take(unit, how, release)
                done[unit.name] = how
        # The old processes drain on their own; it is over when they are gone.
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in left), self.settings["seconds"]["stop"])
        return done

    def take(self, unit, how, release):
        if unit.whose == "none":  # a socket: its service lets go of it first
            units.systemctl("stop", unit.name.replace(".socket", ".service"))
        return unit.take(how, release, self.settings["seconds"]["start"])

    def gate(self):
        """Every process of every server answers the health paths. Raises Failed."""
        for server in self.settings["servers"]:
            for port in server["ports"]:
                for path in self.settings["paths"].values():
                    self.gate_one(server, port, path)

    def gate_one(self, server, port, path):
        said = []

        def healthy():
            said[:] = probe.ask(server["protocol"], (self.settings["address"], port), path, self.settings["host"])
            return said[0] == 200

        if not until(healthy, self.settings["seconds"]["gate"], 0.2):
            log = [line for unit in self.units if unit.name.startswith(server["name"]) for line in units.journal(unit.name)]
            raise Failed(f"{server['name']} on port {port}: {path} says {said[0] or 'nothing'}: {said[1]}", log[-15:])
