"""When runs start by themselves: schedules, and the fires that they have. No clock, no disk.

spec.py        what a person writes
triggers.py    cron and interval, by APScheduler
days.py        the open time of each day; chance.py: random times with the mean that was asked for
fires.py       every fire, and why there is none on the other days

Law: every replica computes the same fires. A fire is known by its schedule and when it is due.
"""
