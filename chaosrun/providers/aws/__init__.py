"""AWS: instances, Auto Scaling groups, zones and routes; alarms and metrics.

access.py       which account and Region, by which credentials
client.py       Aws: the only way to AWS
instances.py  groups.py  target_groups.py  functions.py  tables.py  what a person means, and how it
    is now; fis_template.py  fis_targets.py  the files of AWS' Fault Injection Service
ec2_*.py  asg_*.py  az_outage.py  fis.py ...   the faults
ssm.py  ssm_*.py  scripts/   faults that are scripts on instances
layer/          what aws.lambda-inject switches inside a function
alarms.py  metric.py  health.py  account.py  fis_lever.py   the probes and gates
marks.py        the tag that faults leave, and the sweep that finds it
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="aws",
    package=__name__,
    summary="Instances, groups, zones, routes, load balancers, databases and functions on AWS",
    faults={
        "aws.asg-suspend": "asg_suspend:AsgSuspend",
        "aws.asg-terminate": "asg_terminate:AsgTerminate",
        "aws.az-outage": "az_outage:AzOutage",
        "aws.dynamodb-throttle": "dynamodb_throttle:DynamodbThrottle",
        "aws.ec2-isolate": "ec2_isolate:Ec2Isolate",
        "aws.ec2-stop": "ec2_stop:Ec2Stop",
        "aws.ec2-terminate": "ec2_terminate:Ec2Terminate",
        "aws.elb-deregister": "elb_deregister:ElbDeregister",
        "aws.fis": "fis:Fis",
        "aws.fis-irreversible": "fis:FisIrreversible",
        "aws.lambda-disable-trigger": "lambda_disable_trigger:LambdaDisableTrigger",
        "aws.lambda-inject": "lambda_inject:LambdaInject",
        "aws.lambda-throttle": "lambda_throttle:LambdaThrottle",
        "aws.rds-failover": "rds_failover:RdsFailover",
        "aws.route-blackhole": "route_blackhole:RouteBlackhole",
        "aws.ssm-command": "ssm_command:SsmCommand",
        "aws.ssm-network": "ssm_network:SsmNetwork",
        "aws.ssm-stress": "ssm_stress:SsmStress",
    },
    probes={
        "aws.alarm": "alarms:AlarmProbe",
        "aws.asg-health": "health:GroupProbe",
        "aws.cloudwatch-metric": "metric:MetricProbe",
        "aws.target-health": "health:TargetProbe",
    },
    gates={
        "aws.account": "account:Account",
        "aws.alarms-ok": "alarms:AlarmsOk",
        "aws.fis-lever": "fis_lever:FisLever",
        "aws.permissions": "permitted:Permissions",
    },
    connect="client:connect",
    sweep="marks:find",
    documents={"iam": "policy:document"},
    needs=("boto3",),
    extra="aws",
)
