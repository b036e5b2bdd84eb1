# What PBS knows of this job, and how the next one is submitted. A user may not rerun a job (qrerun is the operators').
cd "${PBS_O_WORKDIR:-$HOME}" || exit  # a PBS job starts in $HOME
exec >>"${output:-$job/output.txt}" 2>&1         # PBS would write a file a job, at its end

job_attribute() { qstat -f "$PBS_JOBID" | sed -n "s/^ *$1 = //p"; }

# HH:MM:SS in seconds.
seconds_of() { echo "$1" | awk -F: '{ s = 0; for (i = 1; i <= NF; ++i) s = 60 * s + $i; print s }'; }

# Seconds since 1970: the walltime counts from stime.
job_end() {
  local walltime started
  walltime=$(job_attribute Resource_List.walltime)
  started=$(job_attribute stime)
  if [ -n "$walltime" ] && [ -n "$started" ]; then
    echo $(($(date -d "$started" +%s) + $(seconds_of "$walltime")))
  fi
}

queue_seconds() {
  local queued started
  queued=$(job_attribute qtime)
  started=$(job_attribute stime)
  if [ -n "$queued" ] && [ -n "$started" ]; then echo $(($(date -d "$started" +%s) - $(date -d "$queued" +%s))); fi
}

list_hosts() { head -n "$ranks" "$PBS_NODEFILE"; }  # one line a rank
count_nodes() { sort -u "$PBS_NODEFILE" | wc -l; }

# A job that someone deletes is being ended (state E).
is_cancelled() { [ "$(job_attribute job_state)" != R ]; }

a_node_is_dead() { false; }  # a user's job has nothing to ask

submit_next() { qsub -W depend="afterany:$PBS_JOBID" "$1"; }
cancel_next() { qdel "$1"; }
this_job() { echo "$PBS_JOBID"; }

# The next job, once this one has ended.
requeue() {
  local next
  next=$(submit_next "$job/script") && say "goes on as $next"
}

# What PBS measured of this job so far, as fields of a JSON object: memory of all its tasks in bytes.
watch_usage() { :; }
usage_fields() {
  local memory
  memory=$(job_attribute resources_used.mem)
  case $memory in
    *kb) echo "\"memory\":$((${memory%kb} * 1024)),\"energy\":null,\"source\":\"resources_used.mem of the whole job; no energy: PBS does not say\"" ;;
    *) echo '"memory":null,"energy":null,"source":"PBS does not say"' ;;
  esac
}
