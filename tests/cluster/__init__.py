"""A real Kubernetes cluster on this machine, for tests: three nodes that run real pods.

build.py     one program with all parts, and those beside it, built from Go modules into the cache
session.py   the cluster of a run of the tests: which it is, and that it goes
parts.py     processes that outlive who starts them, and are ended by their ids
network.py   a bridge, and a network namespace for each node
control.py   etcd, API server, controller manager, scheduler, certificates, kubeconfig
nodes.py     containerd, kubelet and kube-proxy of each node
istio.py     istiod beside it, Istio's own kinds, and what a sidecar is told
images.py    container images, made of this machine's files
programs.py  programs that run in pods of the tests, and what they measure there
outside.py   the cluster looked at and changed from outside, past all of chaosrun
objects.py   what tests make in it: namespaces, Deployments with their pods, kinds
inside.py    a server and its clients in pods: made, asked from inside, and harmed
faults.py    a server in front of the API server that fails requests on command
streams.py   the same, through which watches go on until one goes wrong on command
cluster.py   up and down: whatever up made, down takes away

    make cluster        make cluster-down        python -m tests.cluster kubectl get pods -A
"""
