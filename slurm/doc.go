// Package slurm is the Slurm side of a job: who a process is among the tasks of its step, from the environment alone, and the
// host lists that stand there. It starts nothing and asks no daemon, so that it works where neither scontrol nor a network is.
//
// Sources: Slurm's manual pages srun(1) ("OUTPUT ENVIRONMENT VARIABLES") and hostlist notation as slurm.conf(5) describes it; what
// the variables hold in heterogeneous jobs was seen on Slurm 22.05, see docs/SLURM.md.
package slurm
