#!/usr/bin/env bash
# mutate.sh [BUILD_FOLDER [SOURCE...]]
# Shows that the tests on the emulated GPU find mistakes: breaks each kernel file in many ways, one at a time, and counts
# how many of these mutants a test catches. Fails below 3 of 4. BUILD_FOLDER (default: build) has the built tests.
# SOURCE: names in kernels/cuda such as norm/norm.cu; default: every kernel file.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
exec python3 -B tests/kernels/mutate.py "${@:-build}"
