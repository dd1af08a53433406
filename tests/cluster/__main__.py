"""`python -m tests.cluster build | up | down | kubeconfig | kubectl ...`."""

from __future__ import annotations

import os
import sys

from tests.cluster.build import IN_EACH_RUN, Missing, program
from tests.cluster.cluster import Cluster


def main(words: list[str]) -> int:
    cluster = Cluster()
    match words:
        case ["build"]:
            for name in IN_EACH_RUN:
                try:
                    print(program(name))
                except Missing as missing:  # a test that takes it will say so too
                    print(f"no {name}: {missing}", file=sys.stderr)
        case ["up"]:
            try:
                cluster.up()
            except Missing as missing:
                print(f"no cluster: {missing}", file=sys.stderr)
                return 1
            print(f"three nodes are ready: export KUBECONFIG={cluster.kubeconfig}")
        case ["down"]:
            cluster.down()
            left = cluster.left()
            print("\n".join(["left behind:", *left]) if left else "the cluster is down")
            return 1 if left else 0
        case ["kubeconfig"]:
            print(cluster.kubeconfig)
        case ["kubectl", *rest]:
            own = [f"--kubeconfig={cluster.kubeconfig}"]
            os.execv(cluster.program, ["kubernetes", "kubectl", *own, *rest])
        case _:
            print("build, up, down, kubeconfig, or kubectl WORDS...", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
