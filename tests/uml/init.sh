#!/bin/sh
# The first process of a User-Mode Linux whose root is this machine's own files: what it needs of a
# system is mounted here, then $CHAOSRUN_UML/command is run. What it says goes to files beside it.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm 2>/dev/null
mkdir -p /run/netns
modules=/usr/lib/uml/modules/$(uname -r)

load() { # a module, after those that it needs; the list has them in the reverse order
  line=$(grep "/$1\.ko:" "$modules/modules.dep") || return
  needed=""
  for each in ${line#*:} ; do needed="$each $needed"; done
  for each in $needed "${line%%:*}"; do
    busybox insmod "$modules/$each" 2>/dev/null
  done
}

for name in ipv6 veth ifb tun sch_netem sch_prio sch_tbf sch_htb sch_ingress cls_u32 act_mirred \
  nf_tables nft_numgen nft_reject_inet nft_chain_nat; do
  load "$name"
done
ip link set lo up
sh "$CHAOSRUN_UML/command" >"$CHAOSRUN_UML/output" 2>&1 </dev/null
echo $? >"$CHAOSRUN_UML/code"
sync
busybox poweroff -f
