#!/usr/bin/env bash
# Builds a fuzz target on a stable toolchain, without cargo-fuzz, and runs it.
# Usage: fuzz/run TARGET [libFuzzer's options and folders]
#   fuzz/run png -max_total_time=600 -max_len=16384
# Inputs that find something new go to fuzz/corpus/TARGET, finds to fuzz/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:?the name of a target, as in fuzz/README.md}
shift
mkdir -p "corpus/$target" "artifacts/$target"
# Coverage as cargo-fuzz has it compiled in. No AddressSanitizer: the code of this repository has no `unsafe`.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$flags cargo build --release --target "$host" --bin "$target"

