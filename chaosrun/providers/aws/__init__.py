"""AWS: instances, Auto Scaling groups, zones and routes; alarms and metrics.

access.py       which account and Region, by which credentials
client.py       Aws: the only way to AWS
instances.py  groups.py  services.py  databases.py  functions.py  target_groups.py  tables.py
                what a person means, and how it is now
picking.py      picking per zone or group
healing.py      groups whose instances are terminated, and that replace them
ec2_*.py  asg_*.py  ecs_*.py  rds_*.py  az_outage.py ...   the faults
fis.py  fis_*.py   faults of AWS' Fault Injection Service, its templates, and its safety lever
ssm.py  ssm_*.py  scripts/   faults that are scripts on instances
layer/          what aws.lambda-inject switches inside a function
looking.py      what the probes and gates share
alarms.py  metric.py  health.py  ecs_service.py  rds_status.py  sqs_depth.py   the probes
account.py  alarms.py  rollouts.py  fis_lever.py  permitted.py   the gates
policy.py       the IAM policy that exactly an experiment needs
halts.py        the halt sources
marks.py        the tags that faults leave, and the sweep that finds them
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="aws",
    package=__name__,
    summary="Instances, groups, zones, containers, databases, caches and functions on AWS",
    faults={
        "aws.asg-suspend": "asg_suspend:AsgSuspend",
        "aws.asg-terminate": "asg_terminate:AsgTerminate",
        "aws.az-outage": "az_outage:AzOutage",
        "aws.dynamodb-throttle": "dynamodb_throttle:DynamodbThrottle",
        "aws.ec2-isolate": "ec2_isolate:Ec2Isolate",
        "aws.ec2-reboot": "ec2_reboot:Ec2Reboot",
        "aws.ec2-stop": "ec2_stop:Ec2Stop",
        "aws.ec2-terminate": "ec2_terminate:Ec2Terminate",
        "aws.ecs-drain": "ecs_drain:EcsDrain",
        "aws.ecs-stop-task": "ecs_stop_task:EcsStopTask",
        "aws.eks-nodegroup-terminate": "eks_nodegroup_terminate:EksNodegroupTerminate",
        "aws.elasticache-failover": "elasticache_failover:ElasticacheFailover",
        "aws.elb-deregister": "elb_deregister:ElbDeregister",
        "aws.fis": "fis:Fis",
        "aws.fis-irreversible": "fis:FisIrreversible",
        "aws.lambda-disable-trigger": "lambda_disable_trigger:LambdaDisableTrigger",
        "aws.lambda-inject": "lambda_inject:LambdaInject",
        "aws.lambda-throttle": "lambda_throttle:LambdaThrottle",
        "aws.rds-failover": "rds_failover:RdsFailover",
        "aws.rds-reboot": "rds_reboot:RdsReboot",
        "aws.route-blackhole": "route_blackhole:RouteBlackhole",
        "aws.ssm-command": "ssm_command:SsmCommand",
        "aws.ssm-network": "ssm_network:SsmNetwork",
        "aws.ssm-stress": "ssm_stress:SsmStress",
    },
    probes={
        "aws.alarm": "alarms:AlarmProbe",
        "aws.asg-health": "health:GroupProbe",
        "aws.cloudwatch-metric": "metric:MetricProbe",
        "aws.ecs-service": "ecs_service:ServiceProbe",
        "aws.rds-status": "rds_status:DatabaseProbe",
        "aws.sqs-depth": "sqs_depth:QueueProbe",
        "aws.target-health": "health:TargetProbe",
    },
    gates={
        "aws.account": "account:Account",
        "aws.alarms-ok": "alarms:AlarmsOk",
        "aws.fis-lever": "fis_lever:FisLever",
        "aws.permissions": "permitted:Permissions",
        "aws.rollout-complete": "rollouts:RolloutComplete",
    },
    halts={"aws.ssm-parameter": "halts:SsmParameter", "aws.fis-lever": "halts:FisLever"},
    connect="client:connect",
    sweep="marks:find",
    grants={"iam": "policy:document"},
    needs=("boto3",),
    extra="aws",
)
