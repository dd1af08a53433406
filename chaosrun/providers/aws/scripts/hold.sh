# Holds a fault on this machine until its deadline, whoever is gone by then (law L3). POSIX sh.
#
# Before it stand MARK, DEADLINE (seconds since the epoch), and functions write_run, write_undo,
# write_seen that print scripts. A keeper in a session of its own is started first; it starts the
# fault, and at the deadline, or when it is asked to end, kills what that started, undoes it and
# removes its directory. It is ended by the wall clock or by the time since boot, whichever is first.
#
# What could not be undone is not ended (law L2): its directory stays and says so. A reboot takes the
# directory but not all harm, so what was ended has a receipt on a disk: without one, it is undone.
set -u
base=${CHAOSRUN_DIR:-/run/chaosrun}
dir=$base/$MARK
ended=${CHAOSRUN_ENDED:-/var/lib/chaosrun/ended}

up() { read -r seconds _ </proc/uptime && echo "${seconds%%.*}"; }

lives() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$dir/hold"; }

keeper() { # the process that holds it, if it lives
  pid=$(cat "$dir/keeper" 2>/dev/null) || return 1
  [ -n "$pid" ] && lives "$pid" && echo "$pid"
}

end() { # kill what runs, undo, and leave nothing but a receipt; or what the undo said
  run=$(cat "$dir/run.pid" 2>/dev/null)
  # The number may be another's when it is tried again.
  [ -z "$run" ] || [ -e "$dir/failed" ] || kill -s KILL -- "-$run" 2>/dev/null
  [ -z "${nap:-}" ] || kill "$nap" 2>/dev/null
  if RUN_PID=$run sh "$dir/undo" >"$dir/undone" 2>&1; then
    { mkdir -p "$ended" && : >"$ended/$MARK"; } 2>/dev/null # if it cannot be: undone once more
    mv "$dir" "$dir.ended" && rm -rf "$dir.ended" # it is there whole, or not at all
    rmdir "$base" 2>/dev/null
    return 0
  else
    echo "exit code $?: $(tail -c 200 "$dir/undone" | tr '\n' ' ')" >"$dir/failed"
    return 1
  fi
}

hold() { # the keeper itself
  trap 'end; exit 0' TERM INT HUP QUIT
  echo -1000 2>/dev/null >/proc/self/oom_score_adj # the kernel does not choose it
  ends=$(($(up) + DEADLINE - $(date +%s)))
  echo $$ >"$dir/keeper.new" && mv "$dir/keeper.new" "$dir/keeper"
  (setsid sh -c 'echo $$ >"$1/run.pid"; sh "$1/run" >"$1/out" 2>&1; echo $? >"$1/code.new"
    mv "$1/code.new" "$1/code"' run "$dir") &
  while [ "$(date +%s)" -lt "$DEADLINE" ] && [ "$(up)" -lt "$ends" ]; do
    sleep 1 &
    nap=$!
    wait "$nap" # a signal ends this at once
  done
  end
}

seen() { RUN_PID=$(cat "$dir/run.pid") sh "$dir/seen" 2>&1; }

start() {
  if [ "$(date +%s)" -ge "$DEADLINE" ]; then
    echo "its deadline has passed" >&2
    return 1
  fi
  umask 077
  mkdir -p "$base"
  rm -f "$ended/$MARK"
  find "$ended" -type f -mtime +30 -exec rm -f {} + 2>/dev/null
  if mkdir "$dir" 2>/dev/null; then
    write_run >"$dir/run"
    write_undo >"$dir/undo"
    write_seen >"$dir/seen"
    { echo "MARK=$MARK DEADLINE=$DEADLINE CHAOSRUN_DIR=$base CHAOSRUN_ENDED=$ended"
      cat "$self"
      echo hold; } >"$dir/hold"
    setsid sh "$dir/hold" </dev/null >/dev/null 2>&1 &
  fi
  tries=100 # until it is seen, and what fails at once has failed
  while [ "$tries" -gt 0 ]; do
    if [ -e "$dir/code" ]; then
      [ "$(cat "$dir/code")" = 0 ] || break
      seen >/dev/null && break
    elif [ "$tries" -lt 98 ] && [ -s "$dir/run.pid" ]; then
      seen >/dev/null && break
    fi
    sleep 0.1 2>/dev/null || sleep 1
    tries=$((tries - 1))
  done
  code=$(cat "$dir/code" 2>/dev/null || echo 0)
  if [ "$code" != 0 ] || ! keeper >/dev/null; then
    cat "$dir/out" >&2 2>/dev/null
    if stop; then
      echo "it ended with exit code $code, and is undone" >&2
    else
      echo "it ended with exit code $code, and is not undone" >&2
    fi
    return 1
  fi
}

stop() {
  if pid=$(keeper); then
    kill -s TERM "$pid" 2>/dev/null
    patience=$(($(up) + 30))
    while lives "$pid"; do
      [ "$(up)" -lt "$patience" ] || kill -s KILL -- "-$pid" # its undo hangs: it is tried anew
      sleep 0.1 2>/dev/null || sleep 1
    done
  fi
  if [ ! -e "$dir/hold" ]; then # it was ended, or a reboot took it, or it never began
    [ -d "$dir" ] || [ ! -e "$ended/$MARK" ] || return 0
    (umask 077 && mkdir -p "$dir" && write_undo >"$dir/undo")
  fi
  end && return 0
  echo "its undo failed: $(cat "$dir/failed")" >&2
  return 1
}

look() {
  if [ ! -d "$dir" ]; then
    echo "chaosrun: gone"
  elif keeper >/dev/null; then
    if said=$(seen); then echo "chaosrun: held $said"; else echo "chaosrun: unseen $said"; fi
  elif [ -e "$dir/failed" ]; then
    echo "chaosrun: stuck $(cat "$dir/failed")"
  else
    echo "chaosrun: orphaned"
  fi
}
