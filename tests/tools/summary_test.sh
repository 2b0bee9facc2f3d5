#!/usr/bin/env bash
# summary_test.sh SOURCE_FOLDER
# What summary.sh says of a run of CTest in which tests pass, are skipped for two reasons, fail in four ways, of none, and of
# two runs.
set -euo pipefail
source=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failed() { echo "FAILED: $1"; exit 1; }

cat >"$work/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(outcomes NONE)
enable_testing()
add_test(NAME passes COMMAND sh -c "echo 'Passed 1.00 sec'")
add_test(NAME lacks_torch COMMAND sh -c "echo 'skipped: no torch'; exit 77")
add_test(NAME lacks_it_too COMMAND sh -c "echo 'skipped: no torch'; exit 77")
add_test(NAME skips_a_case COMMAND sh -c "echo '/a/b.cpp:33: Skipped'; echo 'there is no CIFAR-10'; echo")
add_test(NAME fails COMMAND sh -c "exit 3")
add_test(NAME crashes COMMAND sh -c "kill -SEGV $$")
add_test(NAME hangs COMMAND sh -c "sleep 20")
add_test(NAME is_not_there COMMAND nothing_of_this_name)
get_property(all DIRECTORY PROPERTY TESTS)
set_tests_properties(${all} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 60)
set_tests_properties(hangs PROPERTIES TIMEOUT 1)
END
cmake -S "$work" -B "$work/build" >"$work/configured" || failed "cmake: $(cat "$work/configured")"
summary() { # CTEST OPTION...
  ctest --test-dir "$work/build" "$@" >"$work/console" 2>/dev/null || true
  bash "$source/tests/summary.sh" "$work/console" "$work/build/Testing/Temporary/LastTest.log"
}

cat >"$work/expected" <<'END'
Skipped (2, lacks_torch lacks_it_too): no torch
Skipped (1, skips_a_case): there is no CIFAR-10
2 passed, 4 failed, 2 skipped
END
summary >"$work/found"
diff "$work/expected" "$work/found" || failed "all tests"
[[ $(summary --parallel 4 | tail -n 1) == "2 passed, 4 failed, 2 skipped" ]] || failed "in parallel"
[[ $(summary -R nothing_at_all) == "0 passed, 0 failed, 0 skipped" ]] || failed "no test"

# Two runs, as run.sh makes them: the second overwrites the log, and both lack the same thing.
: >"$work/console"
ctest --test-dir "$work/build" -R lacks_torch >>"$work/console" 2>/dev/null
cp "$work/build/Testing/Temporary/LastTest.log" "$work/first.log"
ctest --test-dir "$work/build" -E lacks_torch >>"$work/console" 2>/dev/null || true
bash "$source/tests/summary.sh" "$work/console" "$work/first.log" "$work/build/Testing/Temporary/LastTest.log" >"$work/found"
diff "$work/expected" "$work/found" || failed "two runs"
bash "$source/tests/summary.sh" "$work/console" "$work/not_there.log" >"$work/found"
[[ $(<"$work/found") == "2 passed, 4 failed, 2 skipped" ]] || failed "no log"
echo "passed"
