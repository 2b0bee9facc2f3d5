#!/usr/bin/env bash
# day.sh CARRY_FOLDER OUT_FOLDER [SECONDS]
# One visit to a machine with a GPU, using what pack.sh packed. Ends within SECONDS (default: 530). After every stage it
# rewrites two files in OUT_FOLDER: summary.txt, and logs.tar.gz with the first and last 128 KiB of each stage's output. The
# most valuable stages come first. Each has its own time limit, and a stage that fails, hangs or floods its output does not
# stop the next. The summary gives the reason for every stage that did not run.
set -uo pipefail
usage="usage: day.sh CARRY_FOLDER OUT_FOLDER [SECONDS]"
carry=$(realpath -- "${1:?$usage}") out=${2:?$usage} budget=${3:-530}
[[ $budget =~ ^[1-9][0-9]{0,5}$ ]] || { echo "$usage" >&2; exit 2; }
mkdir -p -- "$out" && out=$(realpath -- "$out") && work=$(mktemp -d) && logs=$work/logs packed=$work/packed || exit 1
mkdir "$logs" "$packed" && touch "$work/short" "$work/details" || exit 1
bin=$packed/bin refused='' no_step='' record='' conv=''
declare -A ms done_tests
. "$carry/stages.sh" || exit 1
trap finish EXIT
trap 'exit 143' TERM INT

# ---- commands of the stages

unpack() { # Python unpacks where there is no xz
  tar xJ -C "$packed" -f "$carry/vergence.tar.xz" || python3 -c 'import lzma, sys, tarfile
tarfile.open(fileobj=lzma.open(sys.argv[1])).extractall(sys.argv[2])' "$carry/vergence.tar.xz" "$packed"
}
find_libraries() { # those that came along, then pip's wheels, then the toolkit's
  local folder path=$packed/lib
  wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)
  for folder in "$wheels"/{cudnn,nccl,cu13}/lib /usr/local/cuda/lib64 /usr/local/cuda/lib /usr/local/cuda/extras/CUPTI/lib64; do
    [[ ! -d $folder ]] || path+=:$folder
  done
  export LD_LIBRARY_PATH=$path
}
facts() {
  echo "commit $(cat "$packed/commit"), $(date -u +%FT%TZ), $(. /etc/os-release && echo "$PRETTY_NAME"), $(ldd --version | head -n 1)"
  lscpu | grep -E '^(Model name|CPU\(s\)):'
  echo "libraries: $LD_LIBRARY_PATH"
  ldd "$bin/bench" | grep -E 'not found|cudnn|gomp|jpeg'
  ls "$wheels"/cudnn/lib/libcudnn.so.9 "$wheels"/cu13/lib/libcublasLt.so.13
  for tool in nvcc ncu compute-sanitizer cuobjdump g++ cmake ninja xz python3; do
    printf '%s: %s\n' "$tool" "$(command -v "$tool" || echo none)"
  done
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,memory.total --format=csv,noheader
}
# shellcheck disable=SC2206,SC2086  # each holds an option and its value, or nothing
step() { # OPTION...: with what the smoke test found to be needed
  local words=("$@")
  [[ " $* " == *" --record "* ]] || words+=($record)
  [[ " $* " == *" --conv "* || " $* " == *" --tune "* ]] || words+=($conv)
  "$bin/bench" step --device cuda "${words[@]}"
}
kernel_times() { # OPTION...: how long each kernel of a recorded step takes
  local library=$packed/lib/libkernel_times.so
  [[ -e $library ]] || { echo "no libkernel_times.so was packed"; return 1; }
  KERNEL_TIMES=$work/times.tsv CUDA_INJECTION64_PATH=$library step --precision bf16 --steps 2 --warmup 4 "$@" || return
  python3 -B "$packed/kernel_times.py" "$work/times.tsv"
}
# shellcheck disable=SC2086
profile() { # every kernel of an eager step, in one pass of counters
  local metrics=gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum,lts__t_sectors_op_write.sum
  command -v ncu >/dev/null || { echo "there is no ncu here"; return 1; }
  ncu --clock-control none --csv --page raw --metrics "$metrics" "$bin/bench" step --device cuda --precision bf16 --batch 512 \
    --steps 1 --warmup 1 --record off $conv >"$work/kernels.csv"
  head -c 4000000 "$work/kernels.csv" >"$logs/kernels.csv"
  python3 -B "$packed/day_kernels.py" "$work/kernels.csv"
}
peer() { # PyTorch, with its own libraries
  env -u LD_LIBRARY_PATH python3 "$packed/torch_step.py" --device cuda --objective simclr --precision bf16 "$@"
}
sanitize() { bash "$packed/sanitize.sh" "$bin" "$@"; }
build_there() { # leaves the host two processors
  local jobs=$(($(nproc) > 3 ? $(nproc) - 2 : 1)) options=(-G Ninja -DCMAKE_BUILD_TYPE=Release) libraries=()
  cmake -S "$packed/googletest" -B "$work/googletest" "${options[@]}" -DBUILD_GMOCK=OFF -DCMAKE_INSTALL_PREFIX="$packed/prefix" &&
    cmake --build "$work/googletest" --parallel "$jobs" --target install || return
  [[ ! -e $wheels/cudnn/include/cudnn_graph.h ]] ||
    libraries=("-DCUDNN_INCLUDE=$wheels/cudnn/include")
  local tests
  cmake -S "$packed/source" -B "$work/build" "${options[@]}" -DCMAKE_PREFIX_PATH="$packed/prefix" -DVERGENCE_CUDA=ON \
    -DVERGENCE_PLAIN_CPU=ON -DVERGENCE_UNITY=ON -DVERGENCE_CUDA_ARCHITECTURES=90a-real \
    "${libraries[@]}" && ninja -C "$work/build" -j "$jobs" bench || return
  mapfile -t tests < <(ninja -C "$work/build" -t targets all | grep -oE '^tests/gpu_[a-z_]+_test:' | tr -d :)
  ninja -C "$work/build" -j "$jobs" -k 0 "${tests[@]}"
}

# ---- the day

try_to_start() { # or to build here, the peer's turn meanwhile
  local began=$SECONDS status=0 builder
  stage 20 start 0 "$bin/bench" --help
  case $? in 0) skip "the programs start" build_there; return ;; 99) skip "nothing was started" build_there; return ;; esac
  if [[ ! -d $packed/source ]]; then
    skip "no source was packed" build_there
  elif (($(left) < 120)); then
    skip "only $(left) s are left" build_there
  else
    limited "$(($(left) - 60))" build_there build_there &
    builder=$!
    time_the_peer
    wait "$builder" || status=$?
    report build_there "$status" $((SECONDS - began)) "$budget" 3
    bin=$work/build
    mkdir -p "$bin"
    ln -sf "$work"/build/tests/gpu_*_test "$bin"
  fi
  [[ -x $bin/bench ]] || refused="the programs do not start"
}
smoke() { # does a step run at all; if not, which part is to blame, and what does run
  local few=(--batch 32 --steps 2 --warmup 1) memory=(--batch 2 --steps 1 --warmup 0)
  local parts=(smoke_late smoke_eager smoke_own_kernels smoke_f32 smoke_blocking smoke_memcheck)
  stage 45 smoke 1 step --precision bf16 --batch 32 --steps 4 --warmup 3
  case $? in 0) skip "a step runs" "${parts[@]}"; return ;; 99) skip "no step was tried" "${parts[@]}"; return ;; esac
  if VERGENCE_EARLY_LAUNCH=off stage 30 smoke_late 2 step --precision bf16 "${few[@]}"; then
    export VERGENCE_EARLY_LAUNCH=off
    say "   from here on: without early launches"
    skip "a step runs" "${parts[@]:1}"
    return
  fi
  if stage 30 smoke_eager 2 step --precision bf16 "${few[@]}" --record off; then record="--record off"; fi
  if stage 30 smoke_own_kernels 2 step --precision bf16 "${few[@]}" --record off --conv cuda && [[ -z $record ]]; then
    record="--record off" conv="--conv cuda"
  fi
  stage 30 smoke_f32 2 step --precision fp32 "${few[@]}" --record off
  stage 40 smoke_blocking 4 env CUDA_LAUNCH_BLOCKING=1 "$bin/bench" step --device cuda --precision bf16 "${few[@]}" --record off
  stage 90 smoke_memcheck 12 env VERGENCE_POOL=off compute-sanitizer --tool memcheck --print-limit 5 \
    "$bin/bench" step --device cuda --precision bf16 "${memory[@]}" --record off
  say "   from here on: ${record:-as recorded steps} ${conv:-}"
  [[ -n $record ]] || no_step="no step runs in bf16"
}
timed() { # LIMIT NAME OPTION...: a step in bf16
  if [[ -n $no_step ]]; then skip "$no_step" "$2"; else stage "$1" "$2" 1 step --precision bf16 "${@:3}"; fi
}
time_our_steps() { # what matters most, and what it depends on
  timed 30 step_512 --batch 512 --steps 40 --warmup 8
  timed 25 step_512_own_kernels --batch 512 --steps 15 --warmup 5 --conv cuda
  timed 25 step_512_eager --batch 512 --steps 15 --warmup 5 --record off
  timed 25 step_128 --batch 128 --steps 60 --warmup 8
  VERGENCE_EARLY_LAUNCH=off timed 25 step_512_late --batch 512 --steps 30 --warmup 8 # without early launches
  timed 40 step_512_tuned --batch 512 --steps 30 --warmup 8 --tune
  timed 25 step_512_f32_gradients --batch 512 --steps 15 --warmup 5 --weight-gradients fp32
  timed 25 step_512_recompute --batch 512 --steps 30 --warmup 8 --recompute
  if [[ -n $no_step ]]; then skip "$no_step" times_simclr times_metamask; return; fi
  stage 25 times_simclr 42 kernel_times --batch 512
  stage 25 times_metamask 42 kernel_times --objective metamask --meta exact --batch 512
}
test_one() { # LIMIT NAME [FILTER [STAGE]]: beside the tests that run already
  [[ -z ${done_tests[${4:-$2}]:-} ]] || return 0
  done_tests[${4:-$2}]=1
  while (($(jobs -rp | wc -l) >= at_once)); do sleep 0.2; done
  stage "$1" "test_${4:-$2}" 4 "$bin/gpu_$2_test" --gtest_brief=1 "--gtest_filter=${3:-*}" &
  tests+=("$!")
}
test_all() { # the longest first
  local at_once=6 tests=() program name
  test_one 100 op_table
  test_one 90 training '-*Recorded*' training_beside_cpu
  test_one 60 training '*Recorded*' training_bits
  done_tests[training]=1 # in two parts
  for name in conv_batch_norm conv_relu_norm loss_kernels recorded_step batches cudnn_conv; do test_one 60 "$name"; done
  for program in "$bin"/gpu_*_test; do
    [[ -e $program ]] || continue
    name=${program##*/gpu_}
    test_one 60 "${name%_test}"
  done
  for program in "${tests[@]}"; do wait "$program" || true; write_files; done
}
time_the_peer() { # on this very card
  local stages=(peer_eager peer_graph peer_compiled peer_eager_128 peer_graph_128)
  [[ -z ${peer_timed:-} ]] || return 0
  peer_timed=1
  if [[ ! -f $packed/torch_step.py ]]; then skip "${refused:-no peer was packed}" "${stages[@]}"; return; fi
  local refused='' # whatever is wrong with our programs
  stage 40 peer_eager 1 peer --batch 512 --mode eager --steps 30 --warmup 8
  stage 40 peer_graph 1 peer --batch 512 --mode graph --steps 30 --warmup 8
  stage 120 peer_compiled 1 peer --batch 512 --mode reduce-overhead --steps 30 --warmup 8
  stage 25 peer_eager_128 1 peer --batch 128 --mode eager --steps 60 --warmup 8
  stage 25 peer_graph_128 1 peer --batch 128 --mode graph --steps 60 --warmup 8
}
compare() { # OURS THEIRS
  [[ -z ${ms[$1]:-} || -z ${ms[$2]:-} ]] ||
    note "$1 : $2" "$(awk "BEGIN { printf \"%.3f ms to %.3f ms: %.2f times as fast\", ${ms[$1]}, ${ms[$2]}, ${ms[$2]} / ${ms[$1]} }")"
}
time_peer() { # LIMIT NAME OPTION...
  if [[ -f $packed/torch_step.py ]]; then stage "$1" "$2" 1 peer "${@:3}"; else skip "no peer was packed" "$2"; fi
}
time_other_steps() {
  local few=(--steps 10 --warmup 4) more=(--steps 20 --warmup 6) wide=(--encoder resnet50 --image 224 --batch 256)
  timed 30 step_barlow_twins --objective barlow_twins --batch 512 "${more[@]}"
  timed 30 step_barlow_twins_128 --objective barlow_twins --batch 128 "${more[@]}"
  timed 40 step_resnet50 "${wide[@]}" "${few[@]}"
  timed 40 step_metamask_exact --objective metamask --meta exact --batch 512 "${few[@]}"
  time_peer 40 peer_barlow_twins --objective barlow_twins --batch 512 --mode graph "${more[@]}"
  time_peer 40 peer_resnet50 "${wide[@]}" --mode graph "${few[@]}"
  time_peer 40 peer_metamask --objective metamask --batch 512 --mode graph "${few[@]}"
}
time_the_rest_of_the_peer() { # modes that take long to start, or are seldom the best
  local few=(--steps 10 --warmup 4) more=(--steps 20 --warmup 6) wide=(--encoder resnet50 --image 224 --batch 256)
  time_peer 90 peer_compiled_128 --batch 128 --mode reduce-overhead --steps 60 --warmup 8
  time_peer 90 peer_barlow_twins_compiled --objective barlow_twins --batch 512 --mode reduce-overhead "${more[@]}"
  time_peer 90 peer_barlow_twins_128_compiled --objective barlow_twins --batch 128 --mode reduce-overhead "${more[@]}"
  time_peer 120 peer_resnet50_compiled "${wide[@]}" --mode reduce-overhead "${few[@]}"
  time_peer 30 peer_barlow_twins_128 --objective barlow_twins --batch 128 --mode graph "${more[@]}"
  time_peer 30 peer_barlow_twins_eager --objective barlow_twins --batch 512 --mode eager "${more[@]}"
  time_peer 40 peer_resnet50_eager "${wide[@]}" --mode eager "${few[@]}"
  time_peer 40 peer_metamask_exact --objective metamask --meta exact --batch 512 --mode eager "${few[@]}"
}

export OMP_WAIT_POLICY=passive PYTHONUNBUFFERED=1 TORCHINDUCTOR_CACHE_DIR=$work/inductor
export VERGENCE_CPU_LOSSES=$packed/cpu_losses.json
export bin packed carry work logs record conv wheels=''
export -f unpack facts step kernel_times profile peer sanitize build_there
stage 30 unpack 0 unpack || refused="the archive could not be unpacked"
find_libraries
stage 20 facts 20 facts
try_to_start
smoke
time_our_steps
test_all
time_the_peer
timed 30 step_512_again --batch 512 --steps 40 --warmup 8 # the spread of the card
time_other_steps
for peer_stage in peer_eager peer_graph peer_compiled; do compare step_512 "$peer_stage"; done
for peer_stage in peer_eager_128 peer_graph_128; do compare step_128 "$peer_stage"; done
for name in barlow_twins resnet50; do compare "step_$name" "peer_$name"; done
compare step_metamask_exact peer_metamask
stage 90 sanitize 12 sanitize memcheck initcheck synccheck
stage 60 ops 80 "$bin/bench" ops --device cuda --precision bf16
time_the_rest_of_the_peer
for name in barlow_twins resnet50 barlow_twins_128; do compare "step_$name" "peer_${name}_compiled"; done
compare step_128 peer_compiled_128
compare step_barlow_twins_128 peer_barlow_twins_128
if [[ -n $no_step ]]; then skip "$no_step" profile; else stage 75 profile 36 profile; fi
stage 240 racecheck 20 env SHARDS=12 bash "$packed/sanitize.sh" "$bin" racecheck
say "done after $SECONDS s"
printf '\n== in short\n' && cat "$work/short"
