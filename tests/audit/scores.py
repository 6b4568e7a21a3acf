"""Scores: what a judge found, against what it may find."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

DATA = yaml.safe_load(Path(__file__).with_name("scores.yml").read_text())
JUDGES, EXPOSURE, EXCEPTIONS = DATA["judges"], DATA["exposure"], DATA["exceptions"]


@dataclass(frozen=True)
class Finding:
    """`name` is the judge's own for this kind of finding, `where` what it is about."""

    name: str
    where: str
    text: str


@dataclass
class Score:
    """What one judge says of one subject. Passed where `value` is at most (or at least) the limit."""

    judge: str
    subject: str
    value: float
    at_most: float | None = None
    at_least: float | None = None
    findings: list[str] = field(default_factory=list)
    excused: int = 0

    @property
    def passed(self) -> bool:
        if self.at_most is None and self.at_least is None:
            raise ValueError(f"{self.judge}: {self.subject} has no limit; give it one in tests/audit/scores.yml")
        above = self.at_most is not None and self.value > self.at_most
        below = self.at_least is not None and self.value < self.at_least
        return not (above or below)

    def record(self) -> dict:
        return asdict(self) | {"passed": self.passed}


def excuse(judge: str, finding: Finding) -> str | None:
    """The reason why a finding is not counted, or None."""
    for exception in EXCEPTIONS:
        if (
            judge in exception["judges"]
            and re.fullmatch(exception["finding"], finding.name)
            and re.search(exception["where"], finding.where)
        ):
            return exception["reason"]
    return None


def counted(judge: str, subject: str, findings: list[Finding]) -> Score:
    """The number of findings that nothing excuses, as a score."""
    left = [finding for finding in findings if excuse(judge, finding) is None]
    texts = [f"{finding.name} {finding.where}: {finding.text}" for finding in left]
    return Score(judge, subject, len(left), at_most=JUDGES[judge]["at_most"], findings=texts, excused=len(findings) - len(left))


def exposure_name(unit: str) -> str | None:
    """The name in scores.yml that a unit goes by: its own, its template's (daphne@1), or its family's (worker-thumbnails)."""
    names = (unit, re.sub(r"@.*\.", "@.", unit), re.sub(r"-.*\.", "-.", unit))
    return next((name for name in names if name in EXPOSURE), None)
