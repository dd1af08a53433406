"""What a person writes about a harm, wherever it is done: the words are the same in each provider.

Law (L4): what was made here is sensible as a whole; where it is done, the provider says.

packets.py    which packets, and what happens to them
lookups.py    which names, and what is answered
requests.py   which HTTP requests, and what happens to them
pressure.py   how much of a resource is taken
"""
