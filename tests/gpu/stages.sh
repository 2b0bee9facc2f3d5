# What day.sh is made of: stages that are limited in time and output, and the files that say how they went. Uses from there:
# budget (seconds), work, logs, out (folders), refused (why nothing more can be run, or empty), ms (stage -> its step's time).
# shellcheck shell=bash disable=SC2154

reserve=4 # seconds kept for the end
left() { echo $((budget - SECONDS - reserve)); }
say() { echo "$*" | tee -a "$work/details"; }

# ---- running one command: its output cut, its time limited, and nothing of it left behind

ends_of_input() { # NAME
  local rest=$work/$1.rest
  head -c 131072 && tail -c 131072 >"$rest"
  [[ ! -s $rest ]] || { echo && echo "[what came between is not kept]" && cat "$rest"; }
  rm -f "$rest"
}
marked() { grep -lsz "^VERGENCE_DAY=$$:${1:-.*}:$" /proc/[0-9]*/environ | cut -d/ -f3; } # whatever session they are in
gone() { # PID TENTHS: waits so long at most; fails where it is still there
  local tenths=$2
  while kill -0 "$1" 2>/dev/null; do ((tenths-- > 0)) && sleep 0.1 || return 1; done
}
end_all() { # SIGNAL [NAME]: the processes of a stage, or of all
  local pids
  for _ in 1 2 3 4 5; do
    mapfile -t pids < <(marked "${2:-}")
    ((${#pids[@]})) || return 0
    kill "-$1" "${pids[@]}" 2>/dev/null
    [[ $1 == KILL ]] || return 0
    sleep 0.05 # one may have been forking
  done
}

limited() { # SECONDS NAME COMMAND...: its exit status; 124 where it was stopped
  local seconds=$1 name=$2 child clock keeper first='' status=0
  shift 2
  mkfifo "$work/$name.pipe"
  ends_of_input "$name" <"$work/$name.pipe" >"$logs/$name.txt" &
  keeper=$!
  VERGENCE_DAY=$$:$name: setsid bash -c '"$@"' "$name" "$@" >"$work/$name.pipe" 2>&1 </dev/null &
  child=$!
  sleep "$seconds" &
  clock=$!
  wait -n -p first "$child" "$clock" || status=$?
  if [[ $first == "$clock" ]]; then
    status=124
    end_all TERM "$name"
    gone "$child" 20
  fi
  end_all KILL "$name"
  kill -KILL "$clock"
  gone "$keeper" 20 || kill -KILL "$keeper"
  rm -f "$work/$name.pipe"
  return "$status"
} 2>/dev/null # bash's own words about what was killed

# ---- stages and what is said of them

step_ms_of() { grep -ao '"step_ms": *[0-9.]*' "$1" | tail -n 1 | grep -o '[0-9.]*$'; } # LOG
figure_of() { # LOG: its step's time, else its last line
  local time
  time=$(step_ms_of "$1")
  if [[ -n $time ]]; then
    echo "$time ms $(grep -aoE '"(images_per_s|mode|gpu|peak_mib)": *("[^"]*"|[0-9.]*)' "$1" | tr -d '"' | paste -sd' ')"
  else
    grep -a '[^[:space:]]' "$1" | tail -n 1 | tr -s ' ' | cut -c1-100
  fi
}
note() { # NAME WORDS: one line for a stage
  printf '%-26s %s\n' "$1" "$2" >>"$work/short"
  say "-- $1: $2"
  write_files
}
skip() { # REASON NAME...
  local name
  for name in "${@:2}"; do note "$name" "not run: $1"; done
}
write_files() { # a stage that runs beside others leaves it to day.sh
  [[ $BASHPID == "$$" ]] || return 0
  { cat "$work/short" && echo && cat "$work/details"; } >"$work/summary" && cp "$work/summary" "$out/summary.txt"
  tar cz -C "$logs" . >"$out/logs.part" 2>/dev/null
  mv "$out/logs.part" "$out/logs.tar.gz"
}
report() { # NAME STATUS SECONDS LIMIT LINES: of a command that was run; its last LINES go into the summary
  local log=$logs/$1.txt outcome="exit $2"
  case $2 in 0) outcome=ok ;; 77) outcome=skipped ;; 124) outcome="stopped at its limit" ;; esac
  ms[$1]=$(step_ms_of "$log")
  (($5 == 0)) || tail -n "$5" "$log" | tr -d '\000' | cut -c1-300 | sed 's/^/   /' >"$work/$1.tail"
  note "$1" "$outcome, $3 s of $4: $(figure_of "$log")"
  (($5 == 0)) || say "$(cat "$work/$1.tail")"
}
stage() { # LIMIT NAME LINES COMMAND...
  local limit=$1 name=$2 lines=$3 began=$SECONDS status=0 time
  shift 3
  time=$(left)
  if [[ -n $refused ]]; then skip "$refused" "$name"; return 99; fi
  if ((time < 4 || 3 * time < limit)); then skip "of its $limit s only $((time > 0 ? time : 0)) are left" "$name"; return 99; fi
  ((limit <= time)) || limit=$time
  limited "$limit" "$name" "$@" || status=$?
  report "$name" "$status" $((SECONDS - began)) "$limit" "$lines"
  return "$status"
}
finish() { # at the end, however it comes
  [[ $BASHPID == "$$" ]] || return # a child that a signal met before it was a program of its own
  trap '' TERM INT
  end_all KILL
  write_files
  rm -rf -- "$work"
}
