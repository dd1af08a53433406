"""Instances are short of processor, memory or disk: ready-made scripts for Systems Manager."""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.providers.aws.ssm import OnInstances, Script
from chaosrun.units import JSON, SEEN_BY_OTHERS, Size

_RUN = """
set -u
echo 1000 2>/dev/null >/proc/self/oom_score_adj # if memory ends, these go first
if [ {disk} -gt 0 ]; then
  free=$(($(df -Pk -- {path} | awk 'NR==2 {{print $4}}') / 20 * 19))
  if [ "$free" -lt $(({disk} / 1024)) ]; then
    echo "only $free KiB of {shown} may be filled: 5 % of what is free stays so"
    exit 1
  fi
  head -c {disk} /dev/zero >{file} || exit 1
fi
cpu={cpu}
[ "$cpu" != all ] || cpu=$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc)
while [ "$cpu" -gt 0 ]; do
  (while :; do :; done) &
  cpu=$((cpu - 1))
done
if [ {memory} -gt 0 ]; then # tail keeps a line until it ends, which this one does not
  {{ head -c {memory} /dev/zero; while :; do sleep 3600; done; }} | tail -n 1 >/dev/null &
fi
wait
"""
# A process that has ended meanwhile is a file that is gone: cat goes on, awk would not.
_SEEN = """
cat /proc/[0-9]*/stat 2>/dev/null |
  awk -v group="$RUN_PID" -v memory={memory} -v page="$(getconf PAGESIZE)" '
  {{ sub(/.*[)] /, ""); if ($3 == group && $1 != "Z") {{ n++; ticks += $12 + $13; pages += $22 }} }}
  END {{
    printf "%d processes, %.1f s of processor, %d MiB", n, ticks / 100, pages * page / 1048576
    exit !({lasts} == 0 || (n > 1 && pages * page >= memory * 0.9))
  }}' && {{ [ {disk} -eq 0 ] || [ -s {file} ]; }}
"""


class SsmStress(OnInstances, frozen=True, kw_only=True):
    """Keep processors busy, hold memory or fill a disk on instances, by Systems Manager.

    It takes nothing but a shell there. If memory ends, the kernel takes these processes first. Of a
    disk at least 5 % of what is free stays so. All ends at the deadline by itself.
    """

    name: ClassVar[str] = "aws.ssm-stress"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"tags": {"app": "checkout"}, "pick": "one"},
        "with": {"cpu": 2, "memory": "256Mi"},
    }

    cpu: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="How many processors to keep busy"),
    ] = None
    all_cpus: Annotated[bool, Meta(description="Keep all processors busy")] = False
    memory: Annotated[Size | None, Meta(description="How much memory to hold")] = None
    disk: Annotated[Size | None, Meta(description="How much of a disk to fill")] = None
    path: Annotated[
        str,
        Meta(description="A directory on that disk", pattern="^/", extra={SEEN_BY_OTHERS: True}),
    ] = "/var/tmp"

    def __post_init__(self) -> None:
        if not (self.cpu or self.all_cpus or self.memory or self.disk):
            raise ValueError("say what to use up: cpu, allCpus, memory or disk")
        if self.cpu and self.all_cpus:
            raise ValueError("give either cpu or allCpus")

    def script(self) -> Script:
        directory = shlex.quote(self.path)
        values = {
            "cpu": "all" if self.all_cpus else self.cpu or 0,
            "memory": _bytes(self.memory),
            "disk": _bytes(self.disk),
            "path": directory,
            "shown": self.path.replace('"', "").replace("$", "").replace("`", ""),
            # The keeper's directory is named by the mark: so is the file, which only we remove.
            "file": f'{directory}/"chaosrun-$(basename "$(dirname "$0")")"',
            "lasts": int(bool(self.cpu or self.all_cpus or self.memory)),
        }
        return Script(
            run=_RUN.format(**values),
            undo=f"rm -f {values['file']}" if self.disk else "true",
            seen=_SEEN.format(**values),
        )

    def effect(self) -> str:
        used = [
            "all processors are busy" if self.all_cpus else "",
            f"{self.cpu} processors are busy" if self.cpu else "",
            f"{self.memory} of memory are held" if self.memory else "",
            f"{self.disk} of {self.path} are filled" if self.disk else "",
        ]
        return " and ".join(filter(None, used))


def _bytes(size: Size | None) -> int:
    return size.bytes if size is not None else 0
