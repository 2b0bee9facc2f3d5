#!/usr/bin/env bash
# summary.sh BUILD_FOLDER CONSOLE
# After a run of CTest in BUILD_FOLDER whose output is in the file CONSOLE: prints each reason for which tests, or cases
# within tests, were skipped, then as the last line `N passed, N failed, N skipped`. A test that did not run has failed.
set -euo pipefail
build=${1:?usage: summary.sh BUILD_FOLDER CONSOLE} console=${2:?usage: summary.sh BUILD_FOLDER CONSOLE}
log=$build/Testing/Temporary/LastTest.log
[[ ! -f $log ]] || awk '
  function skipped(reason) {
    if (!(reason in times)) order[++reasons] = reason
    if (!((reason, name) in seen)) names[reason] = names[reason] " " name
    seen[reason, name] = 1
    ++times[reason]
  }
  /^[0-9]+\/[0-9]+ Testing: / { name = $3; next }
  after { skipped($0); after = 0; next }
  /^[^ ].*: Skipped$/ { after = 1; next }  # GoogleTest gives the reason on the next line
  /^skipped: / { skipped(substr($0, 10)) }
  END { for (i = 1; i <= reasons; ++i) printf "Skipped (%d,%s): %s\n", times[order[i]], names[order[i]], order[i] }
' "$log"
awk '
  / Test +#[0-9]+: / {
    if (/ Passed +[0-9.]+ sec/) ++passed
    else if (/\*\*\*Skipped +[0-9.]+ sec/) ++skipped
    else ++failed
  }
  END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$console"
