"""The lab: a small real system of processes on loopback, to practise on.

    traffic -> front -> three replicas -> proxy -> backend

Law: nothing of a lab is left for ever. It ends by itself, `down` ends all of it whatever
was killed before, and each part dies with its supervisor. `control.py` is what the command
line uses; every other module is one part, or what parts share.
"""
