"""A real Kubernetes cluster on this machine, for tests: three nodes that run real pods.

build.py     one program with all parts, built from Go modules into the cache
parts.py     processes that outlive who starts them, and are ended by their ids
network.py   a bridge, and a network namespace for each node
control.py   etcd, API server, controller manager, scheduler, certificates, kubeconfig
nodes.py     containerd, kubelet and kube-proxy of each node
images.py    container images, made of this machine's files
cluster.py   up and down: whatever up made, down takes away

    make cluster        make cluster-down        python -m tests.cluster kubectl get pods -A
"""
