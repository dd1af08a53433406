# Holds a fault on this machine until its deadline, whoever is gone by then (law L3). POSIX sh.
#
# Before it stand MARK, DEADLINE (seconds since the epoch), and functions write_run, write_undo,
# write_seen that print scripts. A keeper in a session of its own is started first; it starts the
# fault, and at the deadline, or when it is asked to end, kills what that started, undoes it and
# removes its directory. It is ended by the wall clock or by the time since boot, whichever is first.
set -u
base=${CHAOSRUN_DIR:-/run/chaosrun}
dir=$base/$MARK

up() { read -r seconds _ </proc/uptime && echo "${seconds%%.*}"; }

keeper() { # the process that holds it, if it lives
  pid=$(cat "$dir/keeper" 2>/dev/null) || return 1
  [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir/hold" && echo "$pid"
}

end() { # kill what runs, undo, and leave nothing
  run=$(cat "$dir/run.pid" 2>/dev/null) && [ -n "$run" ] && kill -s KILL -- "-$run" 2>/dev/null
  RUN_PID=${run:-} sh "$dir/undo" >>"$dir/out" 2>&1
  [ -z "${nap:-}" ] || kill "$nap" 2>/dev/null
  rm -rf "$dir"
  rmdir "$base" 2>/dev/null
  return 0
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
  if mkdir "$dir" 2>/dev/null; then
    write_run >"$dir/run"
    write_undo >"$dir/undo"
    write_seen >"$dir/seen"
    { echo "MARK=$MARK DEADLINE=$DEADLINE CHAOSRUN_DIR=$base"; cat "$self"; echo hold; } >"$dir/hold"
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
    echo "it ended with exit code $code, and is undone" >&2
    stop
    return 1
  fi
}

stop() {
  tries=100
  if pid=$(keeper); then
    kill -s TERM "$pid" 2>/dev/null
    while [ -d "$dir" ] && [ "$tries" -gt 0 ]; do
      sleep 0.1 2>/dev/null || sleep 1
      tries=$((tries - 1))
    done
  fi
  [ ! -d "$dir" ] || end # the keeper was killed
}

look() {
  if [ ! -d "$dir" ]; then
    echo "chaosrun: gone"
  elif ! keeper >/dev/null; then
    echo "chaosrun: orphaned"
  elif said=$(seen); then
    echo "chaosrun: held $said"
  else
    echo "chaosrun: unseen $said"
  fi
}
