#!/usr/bin/env bash
# kill -9 at ten random moments and SIGTERM once, --resume each time: the run must end exactly like an uninterrupted one,
# and so must an extension of it.
#   kill_resume_test.sh BUILD_FOLDER
set -euo pipefail
pretrain=$1/pretrain
# In memory where there is such a place: kill -9 asks nothing of the disk.
work=$(mktemp -d "$(if [[ -w /dev/shm ]]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi)/vergence_XXXXXX")
trap 'rm -rf "$work"' EXIT
RANDOM=${KILL_SEED:-$$}
echo "kill seed ${KILL_SEED:-$$}"

epochs=100 steps=400  # 4 steps an epoch; many more than eleven kills can use up: each some 10 to 25
options=(--objective simclr --dataset confounded_shapes --image-size 16 --limit 64 --batch 16 --width 4
  --simclr.hidden 32 --epochs "$epochs" --checkpoint-every 1)
run() { "$pretrain" "${options[@]}" --out "$@"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
lines() { if [ -f "$work/killed/metrics.jsonl" ]; then wc -l <"$work/killed/metrics.jsonl"; else echo 0; fi; }

# Starts or resumes the run in the background (process id in $pid) and waits for a random few of its steps, then for a
# random time in which it does at most ten more: a kill falls anywhere in a step, on a quick machine and on a slow one.
advance() {
  local before target polls
  before=$(lines)
  target=$((before + 1 + RANDOM % 10))
  "$pretrain" "${options[@]}" --out "$work/killed" --resume >"$work/log" 2>&1 &  # not run: $! would be a subshell's
  pid=$!
  while [ "$(lines)" -lt "$target" ] || [ ! -f "$work/killed/checkpoint.safetensors" ]; do
    kill -0 "$pid" 2>/dev/null || { cat "$work/log" >&2; fail "the run ended before it was killed"; }
    sleep 0.002
  done
  for ((polls = RANDOM % 20; polls > 0; --polls)); do
    [ "$(lines)" -lt $((target + 10)) ] || break
    sleep 0.002
  done
}
resumed_at() { sed -n 's/^resumed at step \([0-9]*\)$/\1/p' "$work/log"; }

run "$work/whole" >/dev/null

last=0
for i in 1 2 3 4 5 6 7 8 9 10; do
  advance
  kill -9 "$pid" 2>/dev/null || { cat "$work/log" >&2; fail "kill $i came too late"; }
  wait "$pid" 2>/dev/null || true
  if [ "$i" -gt 1 ]; then
    at=$(resumed_at)
    [ -n "$at" ] || { cat "$work/log" >&2; fail "kill $i: no 'resumed at step N'"; }
    [ "$at" -gt 0 ] && [ "$at" -ge "$last" ] || fail "kill $i: resumed at step $at, after $last before"
    last=$at
  fi
done
advance
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[ "$status" = 143 ] || fail "SIGTERM: exit status $status, expected 143"

run "$work/killed" --resume >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "the last resume"; }
at=$(resumed_at)
[ -n "$at" ] && [ "$at" -ge "$last" ] || fail "the last resume: at step '$at', after $last before"
[ "$at" -lt "$steps" ] || fail "the run was over before the last resume: nothing was shown"

grep -o '^{"step":[0-9]*' "$work/killed/metrics.jsonl" | cut -d: -f2 >"$work/steps"
seq 1 $steps | cmp - "$work/steps" || fail "metrics.jsonl does not hold every step once"
for run in whole killed; do sed 's/,"clock":{[^}]*}//' "$work/$run/metrics.jsonl" >"$work/$run.metrics"; done
cmp "$work/whole.metrics" "$work/killed.metrics" || fail "the metrics differ"
cmp "$work/whole/encoder.safetensors" "$work/killed/encoder.safetensors" || fail "the encoders differ"
exits=$(sed -n 's/^ *"exit": \(.*\),$/\1/p' "$work/killed/run.json" | tr '\n' ' ')
[ "$exits" = "null null null null null null null null null null 143 0 " ] || fail "run.json has the exits $exits"
[ "$(grep -c '^resumed at step ' "$work/killed/train.log")" = 11 ] || fail "train.log has not every start"
echo "ten kills, last resume at step $at of $steps: metrics and encoder equal"

# The same in an extension: kill -9 while it starts, and then three times in it.
"$pretrain" --out "$work/whole" --extend 60 >/dev/null
resume=(--config "$work/killed/config.toml" --out "$work/killed" --resume)
for i in 0 1 2 3; do
  if grep -q '^restarted-at' "$work/killed/config.toml"; then
    "$pretrain" "${resume[@]}" >"$work/log" 2>&1 &
  else
    "$pretrain" --out "$work/killed" --extend 60 >"$work/log" 2>&1 &
  fi
  pid=$!
  target=$(($(lines) + i * 8))
  for ((polls = RANDOM % 100; polls > 0; --polls)); do [ "$i" -gt 0 ] || sleep 0.002; done
  while [ "$(lines)" -lt "$target" ]; do
    kill -0 "$pid" 2>/dev/null || { cat "$work/log" >&2; fail "the extension ended before it was killed"; }
    sleep 0.002
  done
  kill -9 "$pid" 2>/dev/null || { cat "$work/log" >&2; fail "kill $i of the extension came too late"; }
  wait "$pid" 2>/dev/null || true
done
"$pretrain" "${resume[@]}" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "the last resume of the extension"; }
for run in whole killed; do sed 's/,"clock":{[^}]*}//' "$work/$run/metrics.jsonl" >"$work/$run.metrics"; done
[ "$(wc -l <"$work/killed.metrics")" = $((steps + 240)) ] || fail "the extension has not every step"
cmp "$work/whole.metrics" "$work/killed.metrics" || fail "the metrics of the extension differ"
cmp "$work/whole/encoder.safetensors" "$work/killed/encoder.safetensors" || fail "the encoders of the extension differ"
echo "four kills of an extension: metrics and encoder equal"
