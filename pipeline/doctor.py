"""What is wrong in a store of runs, and its remedy: ``python -m pipeline.doctor``.

    python -m pipeline.doctor --apply
    python -m pipeline.doctor --apply tracking=server tracking.uri=http://127.0.0.1:5000

Finds runs that say RUNNING although their process has died, points that have not reached MLflow,
uploads that were interrupted, folders that nothing needs any more, and addresses of artifacts
that a moved or copied project has left behind. Without ``--apply`` nothing is changed. Exits with
1 where something is wrong, or could not be mended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.console import Console
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.tracking.diagnosis import Diagnosis, Finding

APPLY = "--apply"


def main(arguments: Sequence[str]) -> int:
    """Show what is wrong; with ``--apply`` mend it. Returns the exit code."""
    config = compose("doctor", [argument for argument in arguments if argument != APPLY])
    if config.tracking.kind == "off":
        raise ConfigError("tracking=off keeps no runs to look after. Use tracking=local.")

    from pipeline.tracking.diagnosis import diagnose

    console = Console()
    diagnosis = diagnose(config.tracking)
    show(console, diagnosis.findings)
    if APPLY not in arguments:
        return conclude(console, diagnosis, f"; {APPLY} does what is listed")
    tried: set[tuple[str, str]] = set()
    findings = diagnosis.findings
    while findings:
        for finding in findings:
            reason = finding.apply()
            tried.add((finding.subject, finding.remedy))
            done = f"not done: {reason}" if reason else "done"
            console.line(f"{finding.subject}: {finding.remedy}: {done}")
        diagnosis = diagnose(config.tracking)
        # Mending one thing may show another: a folder can go once its run is delivered.
        findings = [f for f in diagnosis.findings if (f.subject, f.remedy) not in tried]
        show(console, findings)
    return conclude(console, diagnosis)


def show(console: Console, findings: Sequence[Finding]) -> None:
    """What is wrong, and what would be done about it."""
    for finding in findings:
        console.line(f"{finding.subject}: {finding.what}")
        console.line(f"  remedy: {finding.remedy}")


def conclude(console: Console, diagnosis: Diagnosis, advice: str = "") -> int:
    """The last lines, and the exit code."""
    for note in diagnosis.notes:
        console.line(f"note: {note}")
    wrong = sum(finding.wrong for finding in diagnosis.findings)
    said = f"{wrong} wrong" if wrong else "nothing is wrong"
    console.line(said + (advice if diagnosis.findings else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    verb(main, __doc__)
