"""Harm done in one place by one process of ours that carries its own deadline.

Law (L1-L3): word of a harm is left durably before it is done; its end does not depend on
who asked for it; only what bears its mark is removed. Nothing here knows of providers, of
runs or of the journal, so it also works inside a container or as an agent.

harm.py         Harm: apply, look, remove; Here: where and for how long; Order: all of it as JSON
inside.py       Inside: which namespaces; joining them
notes.py        the word that is left of an order
supervisor.py   the dead man's switch: `python -m chaosrun.mechanisms hold|run|look|end|sweep`
asking.py       hold, look, end: what a provider calls
asked/          what a person writes about a harm, the same words in each provider
"""
