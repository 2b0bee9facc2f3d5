#!/usr/bin/env bash
# day_test.sh SOURCE_FOLDER
# day.sh without a GPU, on archives of programs that behave well, and of ones that hang, flood or do not start: it keeps to its
# time, every stage stands in the summary, little is left. Also where there is no xz.
set -euo pipefail
source=$1
for tool in python3 xz cmake ninja; do
  command -v $tool >/dev/null || { echo "skipped: there is no $tool"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failed() {
  echo "FAILED: $1"
  [[ ! -f $work/printed ]] || tail -n 60 "$work/printed"
  exit 1
}
program() { # PATH: a program of the lines that are read
  mkdir -p "$(dirname "$1")"
  { echo '#!/usr/bin/env bash' && cat; } >"$1"
  chmod +x "$1"
}
pack() { # NAME: the folder "$work/NAME.programs" as pack.sh packs it
  mkdir "$work/$1"
  tar cJ -C "$work/$1.programs" -f "$work/$1/vergence.tar.xz" .
  cp "$source"/tests/gpu/{day,stages}.sh "$work/$1"
}
day() { # NAME SECONDS: its output in "$work/printed", the time it took in `took`
  local began=$SECONDS
  IN_DAY_TEST=$work bash "$work/$1/day.sh" "$work/$1" "$work/$1.out" "$2" >"$work/printed" 2>&1 </dev/null || failed "$1: exit $?"
  took=$((SECONDS - began))
  [[ $(ls "$work/$1.out" | wc -l) -le 3 ]] || failed "$1: left $(ls "$work/$1.out")"
  [[ $(du -sb "$work/$1.out" | cut -f1) -le $((16 << 20)) ]] || failed "$1: left too much: $(ls -l "$work/$1.out")"
  sed '/^$/q' "$work/$1.out/summary.txt" >"$work/short"
  local until=$((SECONDS + 10))  # one that was killed may take a moment
  while grep -qsz "^IN_DAY_TEST=$work$" /proc/[0-9]*/environ; do
    ((SECONDS < until)) || failed "$1: processes live on"
    sleep 0.2
  done
}
expect() { # STAGE REGEX: what its line in the summary says
  grep -qE -- "$2" <<<"$(grep -E "^$1 " "$work/short")" || failed "$1: $(grep -E "^$1 " "$work/short" || echo "not in the summary"), expected $2"
}
stages() { sed '/^$/d; / : /d' "$work/short" | cut -d' ' -f1 | sort; }

# ---- programs that behave: every stage runs
good=$work/good.programs
program "$good/bin/bench" <<'END'
[[ "$*" == *fp32* && "$*" == *weight-gradients* ]] && { echo "bench: there is no --weight-gradients"; exit 2; }
echo '{"mode":"recorded","step_ms":16.000,"images_per_s":32000.0}'
[[ -z ${KERNEL_TIMES:-} ]] || for launch in 7 8; do
  for kernel in {1..30}; do # of which the second launch's are half as long
    printf '%d000\t%d000\t%d\tvoid vergence::cuda::(anonymous namespace)::%s(long)\n' $((launch * 1000 + 10 * kernel)) \
      $((launch * 1000 + 10 * kernel + 8 / (launch - 6))) $launch "$([[ $kernel -gt 10 ]] && echo many || echo few)"
  done
done >"$KERNEL_TIMES"
END
mkdir "$good/lib" && touch "$good/lib/libkernel_times.so"
for name in conv_batch_norm conv_relu_norm loss_kernels recorded_step batches op_table training evaluation_device dsa_step \
  icl_msr_step mrcl_step of_later; do
  program "$good/bin/gpu_${name}_test" <<<'echo "skipped: no GPU"; exit 77'
done
cat >"$good/torch_step.py" <<<'print("{\"step_ms\": 24.0, \"images_per_s\": 21333.3}")'
cp "$source"/tests/gpu/{sanitize.sh,day_kernels.py,kernel_times.py} "$good"
echo 0123abc >"$good/commit"
program "$work/tools/ncu" <<'END'
echo '==PROF== Connected'
echo '"ID","Kernel Name","gpu__time_duration.sum","dram__bytes_read.sum","dram__bytes_write.sum","lts__t_sectors_op_write.sum"'
echo '"","","us","Mbyte","Mbyte","sector"'
for kernel in other update_chunks half half update_chunks other; do
  echo "\"0\",\"void vergence::cuda::(anonymous namespace)::$kernel<float>(float *, long)\",\"1,000.5\",\"2,000\",\"1,001.5\",\"1,000,000\""
done
END
PATH=$work/tools:$PATH
pack good
day good 300
stages >"$work/all"
[[ $(uniq -d "$work/all") == "" ]] || failed "named twice: $(uniq -d "$work/all")"
[[ $(wc -l <"$work/all") -ge 35 ]] || failed "only $(wc -l <"$work/all") stages"
expect unpack "ok, "
expect smoke '^smoke +ok'
expect smoke_memcheck 'not run: a step runs'
expect build_there 'not run: the programs start'
expect profile 'all 3 '
expect times_simclr 'ok, .*: 16\.000 ms'
grep -qE '^ +30 kernels, 120\.0 us; from first to last 294\.0 us$' "$work/good.out/summary.txt" || failed "the kernels' times"
grep -qE '^ +many +20 +80\.0$' "$work/good.out/summary.txt" || failed "the table of the kernels' times"
expect step_512 'ok, .*: 16\.000 ms mode:recorded images_per_s:32000\.0'
expect step_512_f32_gradients 'exit 2, .*: bench: there is no --weight-gradients'
expect test_op_table 'skipped, .*: skipped: no GPU'
expect test_of_later 'skipped'
expect 'step_512 : peer_graph' '16\.000 ms to 24\.000 ms: 1\.50 times as fast'
! grep -qE '^ +other<float>' "$work/good.out/summary.txt" || failed "the profile has more than one step"
grep -qE '^ +half<float> +2 +2001\.0 +6\.003 +3\.00 +0\.064$' "$work/good.out/summary.txt" || failed "the profile: $(cat "$work/good.out/summary.txt")"
grep -q 'commit 0123abc' <<<"$(tar xzOf "$work/good.out/logs.tar.gz" ./facts.txt)" || failed "the facts are not among the logs"

# ---- 60 seconds with a tool that ignores SIGTERM and has a child in a session of its own, one that floods, one that hangs
cp -r "$good" "$work/bad.programs"
program "$work/tools/nvidia-smi" <<'END'
trap '' TERM
setsid sleep 1000 &
while :; do sleep 1000; done
END
program "$work/bad.programs/bin/bench" <<'END'
case "$*" in
  *"--conv cuda"*) head -c 50000000 /dev/urandom | base64; echo "the end of the flood" ;;
  *"--batch 512"*"--record off"*) sleep 1000 ;;
  *) echo '{"step_ms":16.000}' ;;
esac
END
pack bad
day bad 60
((took <= 120)) || failed "took $took s of 60"
diff "$work/all" <(stages) || failed "not all stages stand in the summary"
expect facts 'stopped at its limit, [0-9]+ s of 20'
expect step_512_own_kernels 'ok, .*: the end of the flood'
expect step_512_eager 'stopped at its limit'
expect ops 'not run: of its 60 s only [0-9]+ are left'
tar xzOf "$work/bad.out/logs.tar.gz" ./step_512_own_kernels.txt >"$work/flood"
[[ $(wc -c <"$work/flood") -le 270000 ]] || failed "all of the flood was kept"
[[ $(head -c 131072 "$work/flood" | tail -c 9 | tr -d 'A-Za-z0-9+/\n=' | wc -c) -eq 0 ]] || failed "the flood's beginning"
rm "$work/tools/nvidia-smi"

# ---- without xz, programs that do not start, nothing to build them from: tests and peer are still tried
cp -r "$good" "$work/odd.programs"
program "$work/odd.programs/bin/bench" <<<'echo "bench: cannot load libodd.so.1"; exit 127'
pack odd
mkdir "$work/without_xz"
IFS=: read -ra folders <<<"$PATH"
for folder in "${folders[@]}"; do
  for file in "$folder"/*; do
    [[ ${file##*/} == xz || -e $work/without_xz/${file##*/} ]] || ln -s "$file" "$work/without_xz/"
  done
done
PATH=$work/without_xz day odd 100
diff "$work/all" <(stages) || failed "not all stages stand in the summary"
expect unpack ok
expect start 'exit 127, .*: bench: cannot load libodd'
expect build_there 'not run: no source was packed'
expect step_512 'not run: no step runs in bf16'
expect test_op_table 'skipped: no GPU'
expect peer_eager 'ok, .*24\.0 ms'

# ---- programs that do not start, with sources: they are built there while the peer is timed
cp -r "$work/odd.programs" "$work/built.programs"
mkdir -p "$work"/built.programs/{googletest,source,prefix}
cat >"$work/built.programs/googletest/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(googletest NONE)
install(FILES CMakeLists.txt DESTINATION share)
END
cat >"$work/built.programs/source/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(vergence NONE)
find_file(installed share/CMakeLists.txt REQUIRED)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
foreach(program bench tests/gpu_batches_test)
  add_custom_command(OUTPUT ${program} COMMAND cp ${CMAKE_SOURCE_DIR}/program ${program})
endforeach()
add_custom_target(programs ALL DEPENDS bench tests/gpu_batches_test)
END
program "$work/built.programs/source/program" <<<'echo "{\"step_ms\":17.000}"'
pack built
day built 200
diff <(grep -vE "of_later|evaluation_device|_(dsa|icl_msr|mrcl)_step" "$work/all") <(stages) || failed "not all stages stand in the summary"
expect build_there 'ok, '
expect step_512 'ok, .*: 17\.000 ms'
expect test_batches 'ok, .*: 17\.000 ms'
expect test_op_table 'exit 127'
expect peer_eager 'ok, .*24\.0 ms'
[[ $(grep -n '^peer_eager ' "$work/short" | cut -d: -f1) -lt $(grep -n '^build_there ' "$work/short" | cut -d: -f1) ]] ||
  failed "the peer waited for the build"

# ---- an archive that is cut off
cp -r "$work/good" "$work/cut"
head -c 1000 "$work/good/vergence.tar.xz" >"$work/cut/vergence.tar.xz"
day cut 30
expect unpack 'exit 1'
expect smoke 'not run: the archive could not be unpacked'
expect ops 'not run: the archive could not be unpacked'
echo "passed"
