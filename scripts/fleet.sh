#!/bin/bash
# Vulkan drivers of several Mesa versions and many GPUs on one machine, which needs none of the GPUs: Debian roots beside
# this system. Root is needed, to make them and to enter them. Only Debian packages are installed.
#
#   fleet.sh up               make the roots that are missing: a minute and 0.9 GB of disk each
#   fleet.sh list             show which drivers execute, and for which GPUs there is a compiler
#   fleet.sh run ROOT CMD     run CMD with the lavapipe of ROOT: shaders execute, on the CPU
#   fleet.sh ranks CMD        run CMD, such as "saltern run job.toml", as one job of three ranks, each on another lavapipe
#   fleet.sh gpu GPU CMD      run CMD with the driver of GPU: pipelines compile, what is submitted is dropped
#   fleet.sh several CMD      run CMD with three of trixie's drivers at once: RADV without a GPU, NVK, lavapipe
#   fleet.sh glslc ARGS       compile a shader with trixie's glslc 2025.2, which knows cooperative matrices
#   fleet.sh spirv-val ARGS   check a module with the validator beside it
#   fleet.sh gpus             print the names of the GPUs, and nothing else
#
# ROOT: host (this system's Mesa), trixie (Debian 13, Mesa 25.0), sid (Debian unstable, Mesa 26).
# GPU:  see "fleet.sh list". sid's real drivers run on Debian's mesa-drm-shim, which answers in the kernel's place.
# The roots are in $SALTERN_FLEET, otherwise in /var/cache/saltern/fleet.
# CMD finds this system's files where they are, its working directory too; only /usr, /etc, /var and what belongs to them
# are the root's. So work in a folder below /home, /root, /srv or /tmp; and a static or a Go binary built here runs there.
set -euo pipefail

fleet=${SALTERN_FLEET:-/var/cache/saltern/fleet}
roots='trixie sid'
packages=mesa-vulkan-drivers,mesa-drm-shim,libvulkan1,vulkan-tools,vulkan-validationlayers,glslc,spirv-tools,ca-certificates

# GPU, driver's manifest, shim, and the variable by which the shim learns which GPU to be.
gpus='
vega20    radeon    amdgpu    AMDGPU_GPU_ID=vega20
navi10    radeon    amdgpu    AMDGPU_GPU_ID=navi10
navi21    radeon    amdgpu    AMDGPU_GPU_ID=navi21
navi31    radeon    amdgpu    AMDGPU_GPU_ID=navi31
strix1    radeon    amdgpu    AMDGPU_GPU_ID=strix1
gfx1201   radeon    amdgpu    AMDGPU_GPU_ID=gfx1201
turing    nouveau   nouveau   NOUVEAU_CHIPSET=166
ga100     nouveau   nouveau   NOUVEAU_CHIPSET=170
ampere    nouveau   nouveau   NOUVEAU_CHIPSET=172
ada       nouveau   nouveau   NOUVEAU_CHIPSET=192
blackwell nouveau   nouveau   NOUVEAU_CHIPSET=1b2
m1        asahi     asahi     -
adreno740 freedreno freedreno FD_GPU_ID=740
'

fail() {
	echo "fleet: $*" >&2
	exit 2
}

usage() {
	sed -n '/^#   fleet/s/^# *//p; /^# ROOT:/,/^# The roots/s/^# *//p' "$0" >&2
	exit 2
}

need_root() {
	[ "$(id -u)" -eq 0 ] || fail "root is needed to make and to enter a Debian root; try: sudo --preserve-env $0 ..."
}

# mirror prints the Debian archive that this system itself installs from.
mirror() {
	local uri
	uri=$(sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | head -n 1) || true
	if [ -z "$uri" ]; then
		uri=$(sed -n 's/^deb[[:space:]]\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' /etc/apt/sources.list 2>/dev/null | grep -v security | head -n 1) || true
	fi
	echo "${uri:-http://deb.debian.org/debian}"
}

up() {
	need_root
	command -v debootstrap >/dev/null || fail 'debootstrap is missing; install it: apt-get install debootstrap'
	local root script=/usr/share/debootstrap/scripts/sid # a release newer than debootstrap has no script of its own
	mkdir -p "$fleet" || fail "cannot make $fleet; name a folder that can be written in SALTERN_FLEET"
	for root in $roots; do
		if [ -e "$fleet/$root/.ready" ]; then
			echo "fleet: $root is there, in $fleet/$root"
			continue
		fi
		echo "fleet: making $fleet/$root"
		rm -rf "${fleet:?}/$root"
		debootstrap --variant=minbase --include="$packages" "$root" "$fleet/$root" "$(mirror)" "$script" >"$fleet/$root.log" 2>&1 ||
			fail "debootstrap $root failed; what it said is in $fleet/$root.log. Is the archive $(mirror) reachable, and are 0.9 GB free?"
		touch "$fleet/$root/.ready"
	done
}

# choose ROOT DRIVER lets the Vulkan loader see one driver alone, by its manifest's path within the root.
choose() {
	local prefix=$fleet/$1 manifest
	if [ "$1" = host ]; then
		prefix=
	elif [ ! -e "$prefix/.ready" ]; then
		fail "there is no root $1 in $fleet; make it: $0 up (or name another folder in SALTERN_FLEET)"
	fi
	manifest=$(find "$prefix/usr/share/vulkan/icd.d" -name "$2_icd*.json" 2>/dev/null | sort | head -n 1)
	[ -n "$manifest" ] || fail "$1 has no $2 driver; install mesa-vulkan-drivers there"
	export VK_DRIVER_FILES=${manifest#"$prefix"} VK_ICD_FILENAMES=${manifest#"$prefix"}
}

# enter ROOT PRELOAD CMD... runs CMD in the root, in a mount namespace that ends with it.
enter() {
	local root=$1 preload=$2
	shift 2
	if [ "$root" = host ]; then exec "$@"; fi
	need_root
	exec unshare --mount --propagation private /bin/bash -c '
		root=$1 preload=$2 folder=$3
		shift 3
		for d in /*; do
			case $d in /usr | /etc | /var | /bin | /sbin | /lib* | /boot) continue ;; esac
			if [ -d "$d" ] && [ ! -L "$d" ]; then
				mkdir -p "$root$d" && mount --rbind "$d" "$root$d" || exit 2
			fi
		done
		if [ -n "$preload" ]; then set -- env LD_PRELOAD="$preload" "$@"; fi
		exec chroot "$root" /bin/sh -c '\''cd "$0" && exec "$@"'\'' "$folder" "$@"' fleet "$fleet/$root" "$preload" "$PWD" "$@"
}

run() {
	[ $# -ge 2 ] || usage
	case " host $roots " in *" $1 "*) ;; *) fail "there is no root $1, only: host $roots" ;; esac
	choose "$1" lvp
	enter "$1" '' "${@:2}"
}

# ranks CMD: what saltern launch does, but that each rank is in a root of its own. The first one's output is shown.
ranks() {
	[ $# -ge 1 ] || usage
	local meeting i=0 code=0 root out ended pids=()
	meeting=$(mktemp -d)
	export SALTERN_WORLD_SIZE=3 SALTERN_LOCAL_SIZE=3 SALTERN_NODE=0 SALTERN_NODES=1 SALTERN_RENDEZVOUS=$meeting SALTERN_JOB=fleet-$$ LP_NUM_THREADS=${LP_NUM_THREADS:-1}
	for root in host $roots; do
		out=/dev/stdout
		[ $i -eq 0 ] || out=/dev/null
		SALTERN_RANK=$i SALTERN_LOCAL_RANK=$i "$0" run "$root" "$@" >$out 2>"$meeting/stderr.$i" &
		pids+=($!)
		i=$((i + 1))
	done
	tail -q -f "$meeting/stderr.0" --pid "${pids[0]}" >&2 &
	while [ ${#pids[@]} -gt 0 ] && [ "$code" -eq 0 ]; do
		wait -n -p ended "${pids[@]}" || code=$?
		for i in "${!pids[@]}"; do
			if [ "${pids[i]}" = "$ended" ]; then unset "pids[$i]"; fi
		done
	done
	if [ "$code" -ne 0 ]; then
		tail -n 3 "$meeting"/stderr.[1-9] >&2
		kill "${pids[@]}" 2>/dev/null
	fi
	wait
	rm -rf "$meeting"
	return "$code"
}

gpu() {
	[ $# -ge 2 ] || usage
	local name driver shim setting
	while read -r name driver shim setting; do
		if [ "$name" != "$1" ]; then continue; fi
		choose sid "$driver"
		[ "$setting" = - ] || export "${setting?}"
		enter sid "lib${shim}_noop_drm_shim.so" "${@:2}"
	done <<<"$gpus"
	fail "there is no GPU $1, only: $(names | tr '\n' ' ')"
}

# several CMD: one process sees three drivers. RADV's device is the one that it makes up by itself, as two shims would be one too many.
several() {
	[ $# -ge 1 ] || usage
	local driver list=
	for driver in radeon nouveau lvp; do
		choose trixie "$driver"
		list+=${list:+:}$VK_DRIVER_FILES
	done
	export VK_DRIVER_FILES=$list VK_ICD_FILENAMES=$list RADV_FORCE_FAMILY=navi31 NOUVEAU_CHIPSET=172
	enter trixie libnouveau_noop_drm_shim.so "$@"
}

names() { awk 'NF { print $1 }' <<<"$gpus"; }

# describe CMD... prints the first device's name and driver, as vulkaninfo run by CMD sees it.
describe() {
	"$@" vulkaninfo --summary 2>/dev/null | awk -F' *= *' '/deviceName/ { n = $2 } /driverInfo/ { print n ", " $2; exit }' || true
}

list() {
	local name
	for name in host $roots; do
		echo "executes  $name: $(describe "$0" run "$name")"
	done
	for name in $(names); do
		echo "compiles  $name: $(describe "$0" gpu "$name")"
	done
}

# The loader and drivers want a place for sockets and caches.
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
command=${1:-}
shift || true
case $command in
up) up ;;
list) list ;;
run) run "$@" ;;
ranks) ranks "$@" ;;
gpu) gpu "$@" ;;
several) several "$@" ;;
gpus) names ;;
glslc | spirv-val)
	[ -e "$fleet/trixie/.ready" ] || fail "there is no root trixie in $fleet; make it: $0 up"
	enter trixie '' "$command" "$@"
	;;
*) usage ;;
esac
