"""Fifty experiments against ten policies, with the explanation of every rule.

world.yaml      what there is to touch, and what other runs do there
experiments/    fifty experiments; who asks, when, and with what, is in their annotations
policies/       ten policies
golden/         what each policy says of each experiment, as a person reads it

`python -m tests.policy.corpus.make` writes experiments/ and golden/ anew; read the difference.
"""
