# One part of a run: from the start of a job, or its return, to the next end. Sourced by the scripts of jobs/slurm and
# jobs/pbs, which have read settings.sh, machine.sh and scheduler.sh before: see jobs/README.md.
# Expects: job (folder of the job's files in the run folder), run, bin, deck, arguments, and what machine.sh sets; for
# points of a sweep also sweep (its folder), whose job/ holds the files that all points share; else sweep is empty. The same of
# study for points of a scaling study.
hosts=''  # file with a line a rank, where it is not job/hosts

say() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) job: $*"; }

# Sets bin, the folder of the programs; $jobs is the folder of the scripts.
find_programs() {
  if [ -n "${TRIREME_BIN:-}" ]; then bin=$TRIREME_BIN
  elif [ -x "$jobs/../../../bin/trireme-pretrain" ]; then bin=$jobs/../../../bin
  elif [ -x "$jobs/../build/apps/trireme-pretrain" ]; then bin=$jobs/../build/apps
  else bin=$(dirname "$(command -v trireme-pretrain)"); fi
  [ -x "$bin/trireme-plan" ] && bin=$(cd "$bin" && pwd)
}

# The site's modules. Old versions of `module load` return 0 on failure, so what is loaded is looked up.
load_modules() {
  local name
  [ -n "$modules" ] || return 0
  if ! type module >/dev/null 2>&1; then
    say "the machine file names the modules $modules, and there is no command 'module' here"
    return 1
  fi
  for name in $modules; do
    module load "$name"
    case ":${LOADEDMODULES:-}:" in *":$name:"* | *":$name/"*) ;; *) say "the module $name can't be loaded"; return 1 ;; esac
  done
}

# The step of the newest checkpoint in the log; 0 without one.
saved_step() {
  local step
  step=$(sed -n 's/.*"event":"checkpoint".*"step":\([0-9]*\).*/\1/p' "$run/log.jsonl" 2>/dev/null | tail -n 1)
  echo "${step:-0}"
}

# Counts starts, and gives up where $patience of them in a row brought no new checkpoint: whatever brings a job back
# (we, the scheduler after a node failure, a preemption, a user), it does not go round for ever.
count_start() {
  local before=0 saved
  starts=0 stalls=0
  if [ -f "$job/progress" ]; then read -r before stalls starts <"$job/progress"; fi
  saved=$(saved_step)
  if [ "$starts" -gt 0 ] && [ "$saved" -le "$before" ]; then stalls=$((stalls + 1)); else stalls=0; fi
  starts=$((starts + 1))
  echo "$saved $stalls $starts" >"$job/progress"
  export TRIREME_RESTARTS=$((starts - 1))
  if [ "$stalls" -ge "$patience" ]; then
    say "giving up: $stalls starts in a row brought no checkpoint beyond step $saved; remove $job/progress to try again"
    return 1
  fi
}

# fit_nodes LEAST NODES: sets ranks, ranks_per_node, threads and settings; with less than NODES where the deck does not
# go with all of them.
fit_nodes() {
  local layout
  layout=$("$bin/trireme-plan" layout "$deck" --machine "${sweep:-$run}/job/machine.json" --least "$1" --nodes "$2" \
    "${deck_settings[@]}" --shell) || return
  eval "$layout"
  export OMP_NUM_THREADS=$threads
}

# launch PROGRAM ARGUMENT...: starts it on all ranks, waits, and sets code to how it ended: the program's own record
# counts, launchers may hide an exit code.
launch() {
  local line=$launcher recorded
  line=${line//\{ranks\}/$ranks}
  line=${line//\{ranks_per_node\}/$ranks_per_node}
  line=${line//\{nodes\}/$nodes}
  line=${line//\{threads\}/$threads}
  line=${line//\{job\}/${study:-${sweep:-$run}}/job}
  case $line in
    *"{hostfile}"*) list_hosts >"${hosts:=$job/hosts}" && line=${line//\{hostfile\}/$hosts} ;;
  esac
  say "$line $*"
  rm -f "$run/exit.json"
  $line "$@" &
  launched=$!
  trap pass_on_signal TERM USR1
  signalled=1
  while [ $signalled = 1 ]; do  # a signal ends `wait`, not what it waits for
    signalled=0
    wait "$launched"
    code=$?
  done
  trap '' TERM USR1
  recorded=$(sed -n 's/.*"code": *\([0-9]*\).*/\1/p' "$run/exit.json" 2>/dev/null)
  if [ "$code" -ne 0 ] && [ "${recorded:-0}" -ne 0 ]; then code=$recorded; fi
}

# Ranks that save need the signal once. srun's get it from Slurm; mpirun hands on SIGUSR1 and keeps waiting, while a
# SIGTERM would make it kill them.
pass_on_signal() {
  signalled=1
  case $launcher in
    srun*) ;;
    *) trap '' TERM USR1; kill -USR1 "$launched" 2>/dev/null ;;
  esac
}

# A user's STOP in the run folder ends the run for good; other early ends go on.
stop_was_asked() { grep -q '"reason": "found .*STOP"' "$run/exit.json" 2>/dev/null; }

# One part: everything but what comes after it. Sets code.
pretrain_part() {  # LEAST NODES
  local resume=() end
  code=2
  load_modules && fit_nodes "$1" "$2" || return
  if [ -e "$run/log.jsonl" ]; then resume=(--resume); fi
  end=$(job_end)
  if [ -n "$end" ]; then end=$((end - end_margin)); else say "the scheduler does not say when this job ends"; fi
  TRIREME_QUEUE_SECONDS=$(queue_seconds)
  export TRIREME_QUEUE_SECONDS
  watch_usage &
  watcher=$!
  launch "$bin/trireme-pretrain" "$deck" --run-dir "$run" ${resume[@]+"${resume[@]}"} ${end:+--end-time "$end"} \
    "${deck_settings[@]}" ${settings[@]+"${settings[@]}"} "${arguments[@]}"
  kill "$watcher" 2>/dev/null
  wait "$watcher"
  record_usage
}

# What the scheduler measured of this part: a line of usage.jsonl, which the run's report takes in.
record_usage() {
  local fields
  fields=$(usage_fields) || return 0
  echo "{\"job\":\"${SLURM_JOB_ID:-$PBS_JOBID}\",\"restarts\":$TRIREME_RESTARTS,$fields}" >>"$run/usage.jsonl"
  if [ -f "$run/report.json" ]; then "$bin/trireme-report" --refresh "$run" >/dev/null; fi
}

# What an exit code means to who reads the job's output.
end_text() {
  case $code in
    0) echo "the run has reached its length: $run" ;;
    10) echo "stopped early with a good checkpoint: $(sed -n 's/.*"reason": *"\(.*\)".*/\1/p' "$run/exit.json")" ;;
    2) echo "exit code 2: bad deck or arguments" ;;
    3) echo "exit code 3: file or disk" ;;
    4) echo "exit code 4: the numbers went wrong" ;;
    5) echo "exit code 5: a rank, its node or the network failed" ;;
    *) echo "exit code $code: a rank was killed, or the launcher failed" ;;
  esac
}
report_end() { say "$(end_text)"; }

# Whether the run goes on after this part. Ranks may die of a dead node's silence before the scheduler gives it up.
goes_on() {
  case $code in
    0) return 1 ;;
    10) if ! stop_was_asked && ! is_cancelled; then return 0; fi ;;
    2 | 3 | 4) ;;
    *) if ! is_cancelled && a_node_is_dead; then say "a node of the job does not answer"; return 0; fi ;;
  esac
  say "not started again"
  return 1
}

# A chain's next job, submitted once for each job, also when the scheduler starts a job twice.
link_chain() {
  local mine='' next=''
  if [ -f "$job/next" ]; then read -r mine next <"$job/next"; fi
  if [ "$mine" = "$(this_job)" ]; then return; fi
  if next=$(submit_next "$job/script"); then
    echo "$(this_job) $next" >"$job/next"
    say "next of the chain: $next"
  else
    say "the next job of the chain was refused: submit $job/script again when this one has ended"
  fi
}
end_chain() {
  local mine='' next=''
  if [ -f "$job/next" ]; then read -r mine next <"$job/next"; fi
  if [ -n "$next" ] && [ "$mine" = "$(this_job)" ]; then cancel_next "$next" && say "took back $next, the next of the chain"; fi
}

# take_point NUMBER: the point of the sweep on this line of its list, counted from 0: sets run, deck and job, and gives
# the point an output of its own. 1 where the list is shorter.
take_point() {
  local name
  name=$(sed -n "$(($1 + 1))p" "$sweep/todo")
  [ -n "$name" ] || return 1
  run=$sweep/points/$name deck=$run/deck.json job=$run/job
  mkdir -p "$job"
  rm -f "$run/exit.json" "$job/end"
  exec >>"$job/output.txt" 2>&1
  said_before=$(wc -c <"$job/output.txt")
}

# One part of a point. Where the program could not, job/end says how it ended: the exit code and a reason.
point_part() {  # LEAST NODES
  code=1
  if count_start; then pretrain_part "$@"; fi
  report_end
  note_end
}
note_end() {
  local said reason
  said=$(tail -c "+$((said_before + 1))" "$job/output.txt" | grep -v -e ' job: ' -e '^ *$')
  reason=$(sed -n 's/^error: //p' <<<"$said" | tail -n 1)
  { echo "$code"; echo "$(end_text); ${reason:-$(tail -n 1 <<<"$said")}" | cut -c 1-400; } >"$job/end"
}

# The tests of the build that $bin belongs to; exit code 1 where one fails.
run_validation() {
  say "ctest of ${bin%/apps} on $(uname -n)"
  ctest --test-dir "${bin%/apps}" --output-on-failure --no-tests=error -LE '^(slow|jobs|perf)$' \
    --output-junit "$run/validation.xml" "${arguments[@]}"
  code=$?
  awk -f "$job/junit-page" "$run/validation.xml" >"$run/validation.html"
  say "ctest ended with $code: $run/validation.html"
  [ "$code" = 0 ]
}
