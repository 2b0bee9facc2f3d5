#!/usr/bin/env bash
# summary.sh CONSOLE LOG...
# Summarizes runs of CTest. CONSOLE: their output, one after the other. LOG: each run's Testing/Temporary/LastTest.log, saved
# because the next run overwrites it; missing ones are ignored. Prints why tests, or cases within tests, were skipped, then
# as the last line `N passed, N failed, N skipped`. A test that CTest could not start counts as failed.
set -euo pipefail
console=${1:?usage: summary.sh CONSOLE LOG...}
logs=()
for log in "${@:2}"; do [[ ! -f $log ]] || logs+=("$log"); done
((${#logs[@]} == 0)) || awk '
  function skipped(reason) {
    if (!(reason in times)) order[++reasons] = reason
    if (!((reason, name) in seen)) names[reason] = names[reason] " " name
    seen[reason, name] = 1
    ++times[reason]
  }
  FNR == 1 { after = 0 }
  /^[0-9]+\/[0-9]+ Testing: / { name = $3; next }
  after { skipped($0); after = 0; next }
  /^[^ ].*: Skipped$/ { after = 1; next }  # GoogleTest gives the reason on the next line
  /^skipped: / { skipped(substr($0, 10)) }
  END { for (i = 1; i <= reasons; ++i) printf "Skipped (%d,%s): %s\n", times[order[i]], names[order[i]], order[i] }
' "${logs[@]}"
awk '
  / Test +#[0-9]+: / {
    if (/ Passed +[0-9.]+ sec/) ++passed
    else if (/\*\*\*Skipped +[0-9.]+ sec/) ++skipped
    else ++failed
  }
  END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$console"
