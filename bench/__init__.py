"""Benchmarks: what chaosrun costs, as a ratio to a peer wherever a peer can do the work.

Law: ours and the peer's are measured in turns in the same minutes on the same machine, and a
figure is the median, or the named percentile, of all that was measured; nothing is left out.
"""
