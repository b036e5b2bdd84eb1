# What Slurm knows of this job, and how it is queued again.

# The last task of an array has the array's own number: asked by it, Slurm would speak of all tasks.
my_job=$SLURM_JOB_ID
if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then my_job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID; fi

# Seconds since 1970. Slurm 22.05 has no variable for it.
job_end() {
  local end
  end=$(squeue -h -j "$my_job" -o %e) && [ -n "$end" ] && date -d "$end" +%s 2>/dev/null
}

# From submission, or from being queued again, to this start.
queue_seconds() {
  local times
  times=$(squeue -h -j "$my_job" -o '%V %S') && [ -n "$times" ] || return
  echo $(($(date -d "${times#* }" +%s) - $(date -d "${times% *}" +%s)))
}

# One line a rank.
list_hosts() {
  local host i
  for host in $(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n "$nodes"); do
    for ((i = 0; i < ranks_per_node; i++)); do echo "$host"; done
  done
}

# A job that someone cancels is not brought back.
is_cancelled() { [ "$(squeue -h -j "$my_job" -o %T)" != RUNNING ]; }

# Does every node of the job still start a process?
a_node_is_dead() {
  ! timeout 60 srun --mpi=none --overlap --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    --ntasks-per-node=1 --kill-on-bad-exit=1 true
}

requeue() {
  say "queued again"
  trap - TERM USR1
  scontrol requeue "$my_job" || return
  while :; do sleep 10; done  # until Slurm ends this part
}

# submit_next SCRIPT: one more job that starts when this one has ended; prints its id.
submit_next() { sbatch --parsable --dependency="afterany:$my_job" "$1"; }
cancel_next() { scancel "$1"; }
this_job() { echo "$my_job"; }
