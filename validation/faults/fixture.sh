# Sourced by the tests beside it: a scratch folder with a tiny corpus and deck, one call that runs a program and one
# that says how it must have ended. SCRIPT BUILD; what a test starts ends with it.
set -euo pipefail
build=$(realpath "$1")
fixture=$(realpath "${BASH_SOURCE[0]}")
pretrain=$build/apps/trireme-pretrain
work=$(mktemp -d "${TMPDIR:-/tmp}/trireme-faults.XXXXXX")
cd "$work"
code=0 failures=0 cases=0 mounted=''
time_limit=50  # seconds a launch may take
patience=1  # seconds mpirun waits between SIGTERM and SIGKILL, and after any rank that ends with an error
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
# One rank without mpirun: no daemon is started beside it.
export OMPI_MCA_ess_singleton_isolated=1

# Every process of a test has the scratch folder on its command line.
ours() { pgrep -f -- "$work" || true; }
clean_up() {
  local rc=$? left
  left=$(ours)
  if [ -n "$left" ]; then
    echo "FAILED: processes left behind: $(tr '\n' ' ' <<<"$left")" >&2
    rc=1
    kill -KILL $left 2>/dev/null || true
  fi
  if [ -n "$mounted" ]; then umount -l "$mounted" || true; fi
  rm -rf "$work"
  if [ "$failures" -gt 0 ]; then rc=1; fi
  if [ $rc = 0 ]; then echo "$cases cases passed"; fi
  exit $rc
}
trap clean_up EXIT

wrong() {
  failures=$((failures + 1))
  echo "FAILED: $*" >&2
  if [ -f output ]; then sed 's/^/    | /' output | tail -n 12 | cut -c 1-200 >&2; fi
}

# launch RANKS ARGUMENT...: trireme-pretrain, relative to the scratch folder; sets $code, keeps what it said in `output`.
mpi() {
  local ranks=$1
  shift
  if [ "$ranks" = 1 ]; then "$@"; return; fi
  mpirun --oversubscribe --bind-to none -n "$ranks" "$@"
}
launch() {
  local ranks=$1
  shift
  code=0
  export -f mpi
  timeout -k 5 "$time_limit" bash -c 'mpi "$@"' mpi "$ranks" "$pretrain" "$work/deck.json" "$@" >output 2>&1 || code=$?
}
# launch_in_background RANKS ARGUMENT...: sets $job, the process of mpirun; await_end waits for it and sets $code.
launch_in_background() {
  local ranks=$1
  shift
  mpirun --oversubscribe --bind-to none --mca odls_base_sigkill_timeout "$patience" -n "$ranks" "$pretrain" \
    "$work/deck.json" "$@" >output 2>&1 &
  job=$!
}
await_end() {
  local waited=0
  while kill -0 "$job" 2>/dev/null && [ $waited -lt 400 ]; do sleep 0.1; waited=$((waited + 1)); done
  if kill -0 "$job" 2>/dev/null; then
    wrong "$1: still running after 40 s"
    kill -KILL "$job" $(ours) 2>/dev/null || true
  fi
  code=0
  wait "$job" || code=$?
}
# Until the run in folder $1 has made $2 steps.
await_steps() {
  local waited=0
  until [ -f "$1/log.jsonl" ] && [ "$(grep -c '^{"step"' "$1/log.jsonl")" -ge "$2" ]; do
    sleep 0.05
    waited=$((waited + 1))
    if [ $waited -ge 600 ]; then wrong "$1: no $2 steps within 30 s"; return; fi
  done
}
# Processes of the ranks of the run in folder $1 (not mpirun's).
ranks_of() { pgrep -f -- "^$pretrain .*$work/$1( |\$)"; }

# ends CODE WHAT: the last launch must have ended with this exit code.
ends() {
  cases=$((cases + 1))
  [ "$code" = "$1" ] || wrong "$2: expected exit code $1, found $code"
}
# says TEXT...: its output must hold each text, as it is.
says() {
  local text
  for text in "$@"; do grep -qF -e "$text" output || wrong "expected the output to say: $text"; done
}
says_not() { if grep -qF -e "$1" output; then wrong "the output must not say: $1"; fi; }
holds() {
  local file=$1 text
  shift
  for text in "$@"; do grep -qF -e "$text" "$file" || wrong "expected $file to hold: $text"; done
}
exists() { [ -e "$1" ] || wrong "expected $1 to exist"; }
exists_not() { if [ -e "$1" ]; then wrong "expected no $1"; fi; }
# What the steps in a log computed, without how long they took.
losses() { sed -n 's/^\({"step":.*\),"seconds".*/\1/p' "$1/log.jsonl"; }
same_losses() {
  if [ -z "$(losses "$1")" ] || ! diff <(losses "$1") <(losses "$2") >difference; then
    wrong "the losses of $1 and $2 differ"
    head -n 6 difference >&2
  fi
}

# A disk of SIZE in the folder disk, for a test that fills it or makes it read-only. Where there can be none the test
# ends, visibly not run; in a build with TRIREME_STRICT it fails.
mount_disk() {
  mkdir disk
  truncate -s "$1" image
  if { mke2fs -q -t ext4 -O ^has_journal -m 0 image && mount -o loop image disk; } 2>reason; then
    mounted=$work/disk
    return
  fi
  if [ "${TRIREME_STRICT:-0}" = 1 ]; then
    wrong "no file system to fill: $(cat reason)"
    exit 1
  fi
  echo "skipped: no file system to fill: $(cat reason)"
  exit 77  # as ctest knows it
}
room() { df --output=avail -B1024 disk | tail -n 1; }  # in KiB
# Leaves $1 KiB.
fill() { rm -f disk/filler; head -c "$((($(room) - $1) * 1024))" /dev/zero >disk/filler; }

# Arguments that put all state that can be there on NVMe, in the folder $1 (or "auto").
on_nvme() {
  local key
  for key in stage=3 offload_optimizer.device=nvme offload_param.device=nvme "offload_optimizer.nvme_path=$1" \
    offload_param.max_in_cpu=0 stage3_param_persistence_threshold=0; do
    printf -- '--set\nzero_optimization.%s\n' "$key"
  done
}

make_tokens() {
  awk 'BEGIN { srand(3); n = split("the ship of three oars rows over a dark sea while men sing and drums beat", w, " ")
    for (d = 0; d < 60; ++d) { for (i = 0; i < 60; ++i) printf "%s ", w[1 + int(rand() * n)]; print "\n" } }' >text.txt
  "$build/apps/trireme-data" tokenizer text.txt --vocab 300 --document-separator "" --out tokenizer.json >output 2>&1
  "$build/apps/trireme-data" tokenize text.txt --tokenizer tokenizer.json --document-separator "" --out tokens.h5 \
    >>output 2>&1
}
make_deck() {
  cat >deck.json <<'DECK'
{
  "model": {"family": "llama", "vocabulary": 303, "context": 16, "layers": 2, "hidden": 16, "heads": 4,
            "kv_heads": 2, "ffn_hidden": 24},
  "data": {"tokens": "tokens.h5", "validation_fraction": 0.1},
  "train_batch_size": 8,
  "train_micro_batch_size_per_gpu": 2,
  "gradient_clipping": 1.0,
  "optimizer": {"type": "AdamW", "params": {"lr": 1e-2}},
  "run": {"max_steps": 8, "eval_samples": 8},
  "report": {"peak_flops": 1e9, "html": false, "timeline": false}
}
DECK
}
make_deck
make_tokens
