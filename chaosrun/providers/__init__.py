"""Providers: one package each, a table of names in `__init__`, one file a fault or probe.

Law: providers do not import each other, and a vendor's library appears only in the
provider's own `client.py`.
"""
