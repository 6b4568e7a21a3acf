"""Prometheus's text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""


class Family:
    """One metric: its kind, what it means, and its samples."""

    def __init__(self, name, kind, about):
        self.name, self.kind, self.about, self.samples = name, kind, about, []

    def add(self, value, suffix="", **labels):
        self.samples.append((suffix, labels, value))
        return self

    def lines(self):
        yield f"# HELP {self.name} {self.about}"
        yield f"# TYPE {self.name} {self.kind}"
        for suffix, labels, value in self.samples:
            inside = ",".join(f'{name}="{escaped(str(text))}"' for name, text in labels.items())
            yield f"{self.name}{suffix}{{{inside}}} {value:.10g}" if inside else f"{self.name}{suffix} {value:.10g}"


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def page(families):
    return "".join(f"{line}\n" for family in families if family.samples for line in family.lines())
