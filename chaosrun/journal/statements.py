"""The statements that both SQL journals run, written once, with `?` for each parameter."""

from __future__ import annotations

from typing import Final

PAGE: Final = 1000
"""How many events are read at a time."""

INSERT_EVENT: Final = "INSERT INTO events (run, sequence, type, at, body) VALUES (?, ?, ?, ?, ?)"
EVENTS: Final = (
    "SELECT sequence, body FROM events WHERE run = ? AND sequence >= ?"
    f" ORDER BY sequence LIMIT {PAGE}"
)
LEASED: Final = (
    "SELECT sequence, body FROM events WHERE run = ? AND type = 'leased' ORDER BY sequence DESC"
)
RUNS: Final = (
    "SELECT run, name, started_at, driver, verdict, ended_at,"
    " (SELECT MAX(sequence) FROM events WHERE events.run = runs.run) FROM runs"
)
UNFINISHED: Final = " WHERE verdict IS NULL OR verdict = 'stranded'"
NEWEST_FIRST: Final = " ORDER BY started_at DESC, run DESC"
PRUNABLE: Final = (
    "SELECT run FROM runs WHERE verdict IS NOT NULL AND verdict <> 'stranded' AND ended_at < ?"
    " AND NOT EXISTS (SELECT 1 FROM locks WHERE locks.run = runs.run) LIMIT 100"
)
INSERT_RUN: Final = (
    "INSERT INTO runs (name, started_at, driver, verdict, ended_at, run) VALUES (?, ?, ?, ?, ?, ?)"
)
UPDATE_RUN: Final = (
    "UPDATE runs SET name = ?, started_at = ?, driver = ?, verdict = ?, ended_at = ? WHERE run = ?"
)
TAKE_LOCK: Final = (
    "INSERT INTO locks (run, lease, target, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
HELD_BY_ANOTHER: Final = (
    "SELECT theirs.target, theirs.run FROM locks AS mine JOIN locks AS theirs"
    " ON theirs.target = mine.target AND theirs.run <> mine.run"
    " WHERE mine.run = ? AND mine.lease = ? ORDER BY theirs.target LIMIT 1"
)
TAKE_CLAIM: Final = (
    "INSERT INTO claims (run, lease, name, item) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
CLAIMED: Final = "SELECT COUNT(DISTINCT item) FROM claims WHERE name = ?"
OTHERS_CLAIMS: Final = "SELECT DISTINCT name, item FROM claims WHERE run <> ? AND name IN ({})"
OTHERS_HITS: Final = "SELECT target, run, lease, at FROM hits WHERE run <> ? AND target IN ({})"
OTHERS_LOCKS: Final = "SELECT target, run FROM locks WHERE run <> ? AND target IN ({})"
HIT: Final = (
    "INSERT INTO hits (target, run, lease, at) VALUES (?, ?, ?, ?) ON CONFLICT (target) DO UPDATE"
    " SET run = excluded.run, lease = excluded.lease, at = excluded.at"
)
HIT_ENDED: Final = "UPDATE hits SET at = ? WHERE run = ? AND lease = ?"
APPROVALS: Final = (
    "SELECT digest, by_whom, names, reason, at, expires FROM approvals WHERE digest = ? ORDER BY id"
)
APPROVE: Final = (
    "INSERT INTO approvals (digest, by_whom, names, reason, at, expires) VALUES (?, ?, ?, ?, ?, ?)"
)
TAKE_FREE_LOCK: Final = (
    "INSERT INTO locks (run, lease, target, at) SELECT ?, ?, ?, ?"
    " WHERE NOT EXISTS (SELECT 1 FROM locks WHERE target = ? AND run <> ?)"
    " ON CONFLICT DO NOTHING"
)
