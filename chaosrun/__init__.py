"""chaosrun: asks a running system whether its steady state survives a fault.

Importing this package imports nothing else, so that the command line starts fast.
"""

__version__ = "0.1.0"
