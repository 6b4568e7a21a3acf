"""Let every judge judge, or those that are named: `python -m audit [JUDGE…]`. Ends with 1 where a score is missed."""

import datetime
import sys
from collections.abc import Callable

from cluster.console import Failure, say

from . import code, edge, hosts, nginx, report, suites, websocket
from .scores import JUDGES, Score

RUN: dict[str, Callable[[], list[Score]]] = {
    "bandit": code.bandit,
    "ruff-S": code.ruff,
    "lint": code.lint,
    "gixy-ng": nginx.gixy_ng,
    "gixy-next": nginx.gixy_next,
    "kosoku": websocket.kosoku,
    "fuzz": suites.fuzz,
    "systemd": hosts.systemd,
    "django": hosts.django,
    "sslyze": edge.sslyze,
    "testssl": edge.testssl,
    "slowhttptest": edge.slowhttptest,
    "framing": suites.framing,
}


def main(wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in RUN]
    if unknown:
        print(f"laurel: there is no judge {unknown[0]!r}; there are: {' '.join(RUN)}, as in: make audit JUDGES=bandit", file=sys.stderr)
        return 2
    results, missed, silent = report.load(), [], []
    for judge in wanted or RUN:
        say(f"{judge}: {JUDGES[judge]['about']}")
        try:
            scores = RUN[judge]()
        except Failure as failure:
            print(f"laurel: {judge}: {failure}", file=sys.stderr)
            silent.append(judge)
            continue
        for score in scores:
            say(f"  {'passed' if score.passed else 'MISSED'}  {score.subject}: {score.value:g} ({report.limit(score.record())})")
            for finding in [] if score.passed else score.findings[:20]:
                say(f"          {finding}")
        missed += [score for score in scores if not score.passed]
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        results[judge] = {"date": today, "scores": [score.record() for score in scores]}
        report.keep(results)
    say(f"{len(missed)} scores missed, {len(silent)} judges without a verdict; the table: {report.PAGE.relative_to(report.ROOT)}")
    return 1 if missed else 2 if silent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
