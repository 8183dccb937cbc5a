#!/usr/bin/env bash
# Builds ringsync, tests and measures its way to GPUs on this machine's, without a network and in
# about eight minutes. Every step has a time limit of its own, and none ends the others.
#
#   bench/gpu.sh DIR          all of it; tables and JSON into DIR
#   bench/gpu.sh DIR moves    these parts only (see bench/gpu.py), after build and tests
#   SKIP_TESTS=1 bench/gpu.sh DIR sweep-moves
set -uo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="${1:?usage: bench/gpu.sh DIR [PART...]}"
parts=("${@:2}")
((${#parts[@]})) ||
    parts=(ceilings moves sums launches ring processes collectives overlap nccl1 nccl2
        sweep-moves sweep-sums)
mkdir -p "$out"
out="$(cd "$out" && pwd)"
build="${BUILD:-/tmp/ringsync-gpu}"
failed=()

# Streams that wait for flags need queues of their own: of ranks in one process, one that waits would
# hold up the one that it waits for.
export CUDA_DEVICE_MAX_CONNECTIONS=32
site="$build/site"
export PYTHONPATH="$site:$root" PYTHONUNBUFFERED=1 PATH="/usr/local/cuda/bin:$PATH"

# step NAME LIMIT_S COMMAND...: output into DIR/NAME.txt as well.
step() {
    local name="$1" limit_s="$2" started_s=$SECONDS status=0
    shift 2
    timeout --kill-after=10 "$limit_s" "$@" </dev/null >"$out/$name.txt" 2>&1 || status=$?
    printf '[gpu] %s: status %d in %d s\n' "$name" "$status" "$((SECONDS - started_s))"
    if ((status != 0)); then
        failed+=("$name")
        tail -n 15 "$out/$name.txt" | cut -c1-300
    fi
    return "$status"
}

build_all() {
    local capability
    capability="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)"
    cmake -S "$root/native" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DPython_EXECUTABLE="$(command -v python3)" -DRINGSYNC_CUDA=ON \
        -DCMAKE_CUDA_ARCHITECTURES="${capability:-90}-real" &&
        cmake --build "$build" &&
        rm -rf "$site" && mkdir -p "$site" && cp -r "$root/ringsync" "$site" &&
        cmake --install "$build" --prefix "$site" &&
        nvcc -O3 "-arch=sm_${capability:-90}" -shared -Xcompiler -fPIC \
            -o "$build/libcopy.so" "$root/bench/device/copy.cu"
}
export -f build_all
export root build site

# Without the settings of the whole suite, which needs more packages.
tests=(python3 -m pytest -c /dev/null --rootdir "$root" --confcutdir "$root/tests/gpu"
    --import-mode=importlib -p no:cacheprovider -q -rs --tb=short)

grep -E 'MemTotal|MemAvailable|HugePages_Total' /proc/meminfo | tee "$out/host.txt"
nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,memory.total \
    --format=csv 2>&1 | tee "$out/device.txt"
step build 150 bash -c build_all || exit 1
export DEVICE_PLUGINS="$site/ringsync"

cd "$root" || exit 1
if [[ -z "${SKIP_TESTS:-}" ]]; then
    # Those alone that need a GPU: all others pass without one, and time with one is short.
    step tests 300 "${tests[@]}" --durations=8 -m gpu "$root/tests/gpu"
    tail -n 12 "$out/tests.txt" | cut -c1-200
fi
for part in "${parts[@]}"; do
    step "$part" 75 python3 -m bench.gpu "$part" --out "$out" --copy "$build/libcopy.so"
done
if [[ -z "${SKIP_TESTS:-}" ]] && command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck; do
        step "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 "${tests[@]}" -x -m gpu \
            "$root/tests/gpu/test_sums.py" "$root/tests/gpu/test_moves.py" \
            -k "address or refused or empty"
    done
fi

for part in "${parts[@]}"; do
    [[ "$part" == sweep-* ]] || cat "$out/$part.txt" 2>/dev/null
done
python3 -m bench.device.best "$out"
if ((${#failed[@]})); then
    printf '[gpu] FAILED: %s\n' "${failed[*]}"
    exit 1
fi
