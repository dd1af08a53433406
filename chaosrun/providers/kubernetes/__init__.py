"""Kubernetes: pods, workloads, nodes, zones, configuration, and any object of the API.

access.py       which cluster, and who asks
client.py       one connection, by the official client; answers.py reads what comes back
calls.py        calls of the right cluster, tried again by rule
watching.py     objects followed as they change
api.py          Kubernetes: the only way to a cluster
kinds.py  merging.py  paths.py  marks.py  require.py   objects, differences, marks, rights
pods.py  workloads.py  owners.py  nodes.py   what a person means, and how it is now
reserved.py     what only a policy opens
leaving.py  draining.py  repelling.py  containers.py  keys.py  environment.py  objects.py
any_object.py  at_once.py      what faults share
kernels.py  kernel_trials.py   what the nodes' kernels can do to packets, and how it is found out
istio_*.py  gateway_policies.py  http_faults.py   what a mesh or a gateway makes of a fault
agents.py  agent_*.py  in_pods.py  reach.py  network.py   what agents of ours do inside of pods
pod_*.py  node_*.py  ...   the faults
*_probe.py  *_gates.py     the probes and gates
halts.py        a halt switch in the cluster
grants.py       the roles that grant an experiment its rights
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="kubernetes",
    package=__name__,
    summary="Pods, workloads, nodes, zones, configuration and objects of a Kubernetes cluster",
    faults={
        "kubernetes.api-object": "api_object:ApiObject",
        "kubernetes.config-change": "config_change:ConfigChange",
        "kubernetes.container-kill": "container_kill:ContainerKill",
        "kubernetes.cpu": "press:Cpu",
        "kubernetes.dns": "dns:Dns",
        "kubernetes.envoy-http": "envoy_http:EnvoyHttp",
        "kubernetes.http": "http:Http",
        "kubernetes.io": "press:Io",
        "kubernetes.istio-http": "istio_http:IstioHttp",
        "kubernetes.memory": "press:Memory",
        "kubernetes.network-corrupt": "network_corrupt:NetworkCorrupt",
        "kubernetes.network-latency": "network_latency:NetworkLatency",
        "kubernetes.network-loss": "network_loss:NetworkLoss",
        "kubernetes.network-partition": "network_partition:NetworkPartition",
        "kubernetes.network-rate": "network_rate:NetworkRate",
        "kubernetes.node-cordon": "node_cordon:NodeCordon",
        "kubernetes.node-drain": "node_drain:NodeDrain",
        "kubernetes.node-taint": "node_taint:NodeTaint",
        "kubernetes.pod-failure": "pod_failure:PodFailure",
        "kubernetes.pod-kill": "pod_kill:PodKill",
        "kubernetes.rollout-restart": "rollout_restart:RolloutRestart",
        "kubernetes.scale": "scale:Scale",
        "kubernetes.zone-outage": "zone_outage:ZoneOutage",
    },
    probes={
        "kubernetes.endpoints": "endpoints_probe:EndpointsProbe",
        "kubernetes.events": "events_probe:EventsProbe",
        "kubernetes.logs": "pods_probe:LogsProbe",
        "kubernetes.metrics": "metrics_probe:MetricsProbe",
        "kubernetes.object": "object_probe:ObjectProbe",
        "kubernetes.pods": "pods_probe:PodsProbe",
        "kubernetes.recovered": "workload_probe:RecoveredProbe",
        "kubernetes.workload": "workload_probe:WorkloadProbe",
    },
    gates={
        "kubernetes.access": "safe_gates:CanDo",
        "kubernetes.budget-allows": "whole_gates:BudgetAllows",
        "kubernetes.cluster": "safe_gates:RightCluster",
        "kubernetes.no-degraded": "whole_gates:NoDegraded",
        "kubernetes.no-other-chaos": "safe_gates:NoOtherChaos",
        "kubernetes.rollout-complete": "whole_gates:RolloutComplete",
    },
    halts={"kubernetes.config-map": "halts:ConfigMapHalt"},
    connect="api:connect",
    sweep="marks:find",
    grants={"rbac": "grants:document"},
    needs=("kubernetes", "jsonpath_ng"),
    extra="kubernetes",
)
