#!/bin/bash
# A real Slurm on this one machine, without systemd: munged, slurmctld and a few slurmd, each of which is a "node". For tests
# and to try a job script before it meets a queue. Root is needed. Only Debian packages are installed.
#
#   slurm.sh up [N]     start N nodes, 4 if left out, and wait until they are idle; what runs already stays
#   slurm.sh down       stop what "up" started
#   slurm.sh run CMD    start it if need be, and run CMD with SLURM_CONF set, so that sbatch and srun find it
#   slurm.sh env        print the line that lets your shell find it: eval "$(scripts/slurm.sh env)"
#
# Its state is in $SALTERN_SLURM, otherwise in /var/tmp/saltern-slurm; its ports begin at $SALTERN_SLURM_PORT, otherwise at 16827. With
# others for both, a second one runs beside it. All nodes are this machine: they share its address and
# its name, and SLURMD_NODENAME alone tells them apart. Each may take all cores several times over: the tests are about
# ranks, not about speed. What sites set differently is set so that it can be tested: RequeueExit is 75, and requeued jobs
# wait two minutes, as everywhere, unless "scontrol update JobId=N StartTime=now" makes them start. A node is down after 15 s of
# silence; elsewhere that takes minutes.
set -euo pipefail

dir=${SALTERN_SLURM:-/var/tmp/saltern-slurm}
conf=$dir/slurm.conf
port=${SALTERN_SLURM_PORT:-16827}

fail() {
	echo "slurm: $*" >&2
	exit 1
}

usage() {
	sed -n '/^#   slurm/s/^# *//p' "$0" >&2
	exit 2
}

# alive FILE: the process whose id the file holds is there.
alive() { [ -s "$1" ] && kill -0 "$(cat "$1" 2>/dev/null)" 2>/dev/null; }

install_packages() {
	if command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null; then return; fi
	command -v apt-get >/dev/null || fail 'slurmctld, slurmd and munged are missing, and there is no apt-get to install them'
	echo 'slurm: installing slurmctld, slurmd, slurm-client and munge' >&2
	apt-get update -q >/dev/null
	# Nothing is to be started by the packages themselves.
	DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
}

write_conf() { # write_conf NODES
	local host
	host=$(hostname -s)
	cat <<-CONF
		ClusterName=saltern
		SlurmctldHost=$host(127.0.0.1)
		SlurmctldPort=$port
		SlurmUser=root
		AuthType=auth/munge
		AuthInfo=socket=$dir/munge/socket
		CryptoType=crypto/munge
		StateSaveLocation=$dir/state
		SlurmdSpoolDir=$dir/spool/%n
		SlurmctldPidFile=$dir/slurmctld.pid
		SlurmdPidFile=$dir/%n.pid
		SlurmctldLogFile=$dir/log/slurmctld.log
		SlurmdLogFile=$dir/log/%n.log
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU
		SchedulerType=sched/backfill
		SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
		MpiDefault=none
		ReturnToService=2
		KillWait=5
		MinJobAge=600
		JobRequeue=1
		RequeueExit=75
		SlurmdTimeout=15
		PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
	CONF
	for i in $(seq "$1"); do
		echo "NodeName=node$i NodeAddr=127.0.0.1 NodeHostname=$host Port=$((port + i)) CPUs=$(nproc) State=UNKNOWN"
	done
}

start_munge() {
	local munge=$dir/munge
	mkdir -p "$munge"
	chown munge:munge "$munge"
	chmod 711 "$munge" # the socket inside is for every user
	if [ ! -s "$munge/key" ]; then
		(umask 077 && head -c 128 /dev/urandom >"$munge/key")
		chown munge:munge "$munge/key"
	fi
	setpriv --reuid=munge --regid=munge --clear-groups munged --force --key-file="$munge/key" --socket="$munge/socket" \
		--pid-file="$munge/pid" --log-file="$munge/log" --seed-file="$munge/seed"
	for _ in $(seq 50); do
		[ -S "$munge/socket" ] && return
		sleep 0.1
	done
	fail "munged did not start; its log is $munge/log"
}

up() { # up NODES
	[ "$(id -u)" -eq 0 ] || fail 'root is needed to start the daemons; try: sudo --preserve-env scripts/slurm.sh ...'
	install_packages
	mkdir -p "$dir"/state "$dir"/log "$dir"/spool
	chmod 755 "$dir"
	if [ -s "$conf" ] && ! write_conf "$1" | cmp -s - "$conf"; then down; fi
	write_conf "$1" >"$conf"
	echo 'CgroupAutomount=no' >"$dir/cgroup.conf"
	export SLURM_CONF=$conf
	alive "$dir/munge/pid" || start_munge
	alive "$dir/slurmctld.pid" || slurmctld -c
	for i in $(seq "$1"); do
		mkdir -p "$dir/spool/node$i"
		alive "$dir/node$i.pid" || slurmd -N "node$i"
	done
	for _ in $(seq 120); do
		if [ "$(sinfo -h -N -t idle,mix,alloc -o %N 2>/dev/null | sort -u | wc -l)" -ge "$1" ]; then return; fi
		sleep 0.25
	done
	tail -n 5 "$dir"/log/*.log >&2
	fail "the nodes did not come up within 30 s; the logs are in $dir/log"
}

down() {
	for pid in "$dir"/node*.pid "$dir"/slurmctld.pid "$dir"/munge/pid; do
		if alive "$pid"; then
			kill "$(cat "$pid")"
			for _ in $(seq 50); do
				alive "$pid" || break
				sleep 0.1
			done
		fi
		rm -f "$pid"
	done
}

# nodes is how many the running cluster was started with.
nodes() { grep -c '^NodeName=' "$conf" 2>/dev/null || echo 4; }

case ${1-} in
up)
	up "${2:-4}"
	SLURM_CONF=$conf sinfo
	;;
down) down ;;
run)
	[ $# -ge 2 ] || usage
	up "$(nodes)" >&2
	shift
	exec env SLURM_CONF="$conf" "$@"
	;;
env) echo "export SLURM_CONF=$conf" ;;
*) usage ;;
esac
