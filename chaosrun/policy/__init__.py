"""What an organisation demands of every experiment, evaluated. Pure: told all that it asks.

spec.py         what a person writes: `kind: Policy`
rule.py         the contract of a rule: what it measures, what is stricter, what a lease must meet
of_experiment.py  of_targets.py  of_runs.py  of_time.py   the rules, by what they look at
merging.py      policies become rules; of two that say the same the stricter one stands
policies.py     all policies that hold here, added up
evaluate.py     every rule against an experiment and its plans, with overrides
actor.py        who asks, and who may

Law (L4): what cannot be measured is over. A rule says what it measured, its limit, what would
make it pass, and where it stands.
"""
