"""AWS: instances, Auto Scaling groups, zones and routes; alarms and metrics.

access.py       which account and Region, by which credentials
client.py       Aws: the only way to AWS
instances.py  groups.py                what a person means, and how it is now
ec2_*.py  asg_*.py  az_outage.py ...   the faults
marks.py        the tag that faults leave, and the sweep that finds it
"""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="aws",
    package=__name__,
    summary="Instances, Auto Scaling groups, zones and routes on AWS",
    faults={
        "aws.asg-suspend": "asg_suspend:AsgSuspend",
        "aws.asg-terminate": "asg_terminate:AsgTerminate",
        "aws.az-outage": "az_outage:AzOutage",
        "aws.ec2-isolate": "ec2_isolate:Ec2Isolate",
        "aws.ec2-stop": "ec2_stop:Ec2Stop",
        "aws.ec2-terminate": "ec2_terminate:Ec2Terminate",
        "aws.route-blackhole": "route_blackhole:RouteBlackhole",
    },
    connect="client:connect",
    sweep="marks:find",
    needs=("boto3",),
    extra="aws",
)
