# Sourced by the tests beside it: scratch folder, tiny corpus and deck of validation/faults/fixture.sh, the cluster that
# the test jobs.cluster_up has started, and calls that submit and watch jobs. SCRIPT BUILD.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../faults/fixture.sh" "$1"
jobs=$(realpath "$here/../../jobs")
export TRIREME_BIN=$build/apps
time_limit=150  # seconds a launch may take: tests of jobs run beside each other
started=()  # jobs of this test: what is left of them ends with it

use_cluster() { eval "$("$here/cluster_of" "$build" env)"; trap 'cancel_jobs; clean_up' EXIT; }
cluster() { "$here/cluster_of" "$build" "$@"; }
cancel_jobs() {
  local id
  for id in ${started[@]+"${started[@]}"}; do scancel "$id" 2>/dev/null || true; done
  for ((i = 0; i < 100; ++i)); do [ -n "$(ours)" ] || break; sleep 0.1; done
}

# With it a step takes at least MILLISECONDS, a checkpoint MILLISECONDS and a message between nodes MILLISECONDS: a test can act
# between two of them.
slow() { export LD_PRELOAD=$build/validation/jobs/libslow_steps.so SLOW_STEPS=$1 SLOW_SAVES=${2:-0} SLOW_SENDS=${3:-0}; }
fast() { unset LD_PRELOAD SLOW_STEPS SLOW_SAVES SLOW_SENDS; }

# submit NAME ARGUMENT...: jobs/submit into the run folder NAME; sets $code and $id, keeps what it said in `output`.
submit() {
  local name=$1
  shift
  code=0 id=''
  "$jobs/submit" deck.json --machine "${machine:-test-cluster}" --run-dir "$work/$name" "$@" >output 2>&1 || code=$?
  if [ $code = 0 ]; then id=$(sed -n 's/^job \(.*\), run folder .*/\1/p' output); fi
  if [ -n "$id" ]; then started+=("$id"); fi
}

state_of() { scontrol show job -o "$1" 2>/dev/null | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p'; }
restarts_of() { scontrol show job -o "$1" | sed -n 's/.* Restarts=\([0-9]*\).*/\1/p'; }
# await_state ID STATE SECONDS (a regular expression)
await_state() {
  local i
  for ((i = 0; i < 5 * $3; ++i)); do
    if [[ $(state_of "$1") =~ ^($2)$ ]]; then return; fi
    sleep 0.2
  done
  wrong "job $1 is $(state_of "$1") after $3 s, not $2"
}
# The job's output, where a test failed.
show_job() { if [ "$failures" -gt 0 ]; then tail -n 40 "$1/job/output.txt" | cut -c 1-200 >&2; fi; }

# The run in folder $1 is done, in $2 parts at least, and its losses are those of the run in folder $3.
finished_like() {
  cases=$((cases + 1))
  holds "$1/exit.json" '"code": 0'
  same_losses "$3" "$1"
  local parts
  parts=$("$build/apps/trireme-report" "$1" | sed -n 's/^  parts  *\([0-9]*\)$/\1/p')
  [ "${parts:-1}" -ge "$2" ] || wrong "$1: expected a report of at least $2 parts, found ${parts:-1}"
  show_job "$1"
}
