"""The error tree: whose fault it was, and what to do about it.

Law: every error that reaches a person says what happened and, where there is one, the
way out (`hint`). One table, `EXIT_CODES`, maps an error to a process exit code.
"""

from __future__ import annotations


class ChaosrunError(Exception):
    """Something went wrong in chaosrun itself.

    `code` is a short stable slug for machines; `hint` says what would help.
    """

    code = "error"
    hint = ""

    def __init__(self, message: str = "", *, hint: str = "", code: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint:
            self.hint = hint
        if code:
            self.code = code


class Rejected(ChaosrunError):
    """The file or the command line is wrong; nothing was touched."""

    code = "rejected"


class Transient(ChaosrunError):
    """It failed now and may work later: retry."""

    code = "transient"


class Refused(ChaosrunError):
    """The target said no, and will say no again."""

    code = "refused"


class Indeterminate(ChaosrunError):
    """It may or may not have happened."""

    code = "indeterminate"


class Stranded(ChaosrunError):
    """A fault is still in place after every retry: page a person."""

    code = "stranded"


class JournalUnavailable(ChaosrunError):
    """The journal can be neither read nor written now."""

    code = "journal-unavailable"


class SequenceTaken(ChaosrunError):
    """Another driver has written this run's next event: this one must stop driving it."""

    code = "sequence-taken"


class TargetLocked(ChaosrunError):
    """Another run holds a lease on the same target."""

    code = "target-locked"

    def __init__(self, target: str, holder: str) -> None:
        super().__init__(
            f"{target} is held by run {holder}",
            hint=f"wait for it, or see `chaosrun show {holder}`",
        )
        self.target = target
        self.holder = holder


class TermExceeded(ChaosrunError):
    """A policy's bound over all runs would be exceeded."""

    code = "term-exceeded"

    def __init__(self, lease: str, rule: str, measured: str) -> None:
        super().__init__(f"{rule}: {measured}", hint="wait until the other runs have ended")
        self.lease = lease
        self.rule = rule
        self.measured = measured


EXIT_CODES: dict[type[ChaosrunError], int] = {
    Rejected: 2,
    Refused: 3,
    TargetLocked: 3,
    TermExceeded: 3,
    Stranded: 7,
}


def exit_code(error: ChaosrunError) -> int:
    """The process exit code for an error that ended a command: 6 unless the table says else."""
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return 6
