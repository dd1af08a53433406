"""A world of AWS to practise on, without an account: moto, over real HTTP, on loopback.

gaps.py     what moto lacks and the faults need
server.py   the process; seed.py the shop in it; control.py  up, status, down
"""
