package place

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"saltern/compute/vk"
)

func gpu(vendor uint32, name, pci, uuid string) vk.Info {
	return vk.Info{Vendor: vendor, Name: name, PCI: pci, UUID: uuid, Type: vk.Discrete, Memory: 1 << 36}
}

// node numbers the devices as a loader would, in the order given, which is not that of their addresses.
func node(devices ...vk.Info) []vk.Info {
	for i := range devices {
		devices[i].Index = i
	}
	return devices
}

var cpu = vk.Info{Name: "llvmpipe (LLVM 15.0.6, 256 bits)", Vendor: 0x10005, Type: vk.CPU, UUID: "6d657361000000000000000000000000"}

// nvidia8 is a node of eight H100 SXM: their addresses on an HGX board, and UUIDs as nvidia-smi -L writes them.
func nvidia8() []vk.Info {
	var list []vk.Info
	for i, bus := range []string{"19", "3b", "4c", "5d", "9b", "bb", "cb", "db"} {
		list = append(list, gpu(0x10de, "NVIDIA H100 80GB HBM3", "0000:"+bus+":00.0", fmt.Sprintf("%08x52a1c07e8b1d3f60a9e0c%03x", 0xa1b2c300+i*0x1000, i)))
	}
	slices.Reverse(list)
	return node(append(list, cpu)...)
}

// mi250 is a node of four MI250X, each of two dies with an address of its own; RADV makes its UUIDs of addresses.
func mi250() []vk.Info {
	var list []vk.Info
	for _, bus := range []string{"c1", "c6", "c9", "ce", "d1", "d6", "d9", "de"} {
		list = append(list, gpu(0x1002, "AMD Instinct MI250X (RADV ALDEBARAN)", "0000:"+bus+":00.0", "00000000"+bus+"0000000000000000000000"))
	}
	return node(append([]vk.Info{cpu}, list...)...)
}

// intel6 is a node of six Data Center GPU Max, on two sockets.
func intel6() []vk.Info {
	var list []vk.Info
	for i, at := range []string{"0000:18:00.0", "0000:42:00.0", "0000:6c:00.0", "0001:18:00.0", "0001:42:00.0", "0001:6c:00.0"} {
		list = append(list, gpu(0x8086, "Intel(R) Data Center GPU Max 1550", at, fmt.Sprintf("8680d50b2f00000018000000000000%02x", i)))
	}
	return node(list...)
}

// mixed has two NVIDIA GPUs of two kinds, two of AMD, and the processor's own.
func mixed() []vk.Info {
	integrated := gpu(0x8086, "Intel(R) UHD Graphics 770", "0000:00:02.0", "868080460000000002000000000000aa")
	integrated.Type = vk.Integrated
	return node(integrated,
		gpu(0x1002, "AMD Radeon RX 7900 XTX (RADV NAVI31)", "0000:03:00.0", "00000000030000000000000000000000"),
		gpu(0x10de, "NVIDIA L4", "0000:41:00.0", "11111111222233334444555555555555"),
		gpu(0x1002, "AMD Radeon RX 7600 (RADV NAVI33)", "0000:83:00.0", "00000000830000000000000000000000"),
		gpu(0x10de, "NVIDIA RTX A6000", "0000:c1:00.0", "aaaaaaaabbbbccccddddeeeeeeeeeeee"), cpu)
}

func on(devices []vk.Info, env ...string) Node {
	return Node{Devices: devices, Env: func(name string) (string, bool) {
		for _, e := range env {
			if k, v, _ := strings.Cut(e, "="); k == name {
				return v, true
			}
		}
		return "", false
	}, Sys: fstest.MapFS{
		"bus/pci/devices/0000:c6:00.0/unique_id": {Data: []byte("5a1b2c3d4e5f6071\n")},
		"bus/pci/devices/0000:de:00.0/unique_id": {Data: []byte("5a99aa00bb11cc22\n")},
	}}
}

// TestGranted maps what variables say to Vulkan's devices, named by the bus of their address.
func TestGranted(t *testing.T) {
	amdOnly := func(hidden int) []vk.Info { return node(mi250()[1 : 1+hidden]...) }
	for _, test := range []struct {
		why     string
		devices []vk.Info
		env     string // by spaces
		want    string // buses, in the order of the local ranks; or what the error says
		fails   bool
	}{
		{why: "nothing is limited: all, by address, whatever the loader's order", devices: nvidia8(), want: "19 3b 4c 5d 9b bb cb db"},
		{why: "CUDA's indices of GPUs that are alike are by address", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=0,1", want: "19 3b"},
		{why: "in the order that the variable has", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=7,2", want: "db 4c"},
		{why: "UUIDs, one of them shortened", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=GPU-A1B2F300-52a1-c07e-8b1d-3f60a9e0c003,GPU-a1b2d", want: "5d 3b"},
		{why: "what an unknown index ends, in CUDA's meaning", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=3,-1,4", want: "5d"},
		{why: "all are hidden: the processor is left", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=", want: "cpu"},
		{why: "a Slurm that grants none", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=NoDevFiles", want: "cpu"},
		{why: "MIG", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=MIG-GPU-a1b2c300/1/0", want: "a part of a GPU (MIG)", fails: true},
		{why: "beyond the last", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=8", want: "there is no GPU 8, as Vulkan shows 8", fails: true},
		{why: "a UUID that is not there", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=GPU-77", want: "no GPU that Vulkan shows has the UUID GPU-77", fails: true},
		{why: "the beginning of several", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=GPU-a1b2", want: "the beginning of two", fails: true},
		{why: "twice", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=1,1", want: "twice", fails: true},
		{why: "words", devices: nvidia8(), env: "CUDA_VISIBLE_DEVICES=all", want: `"all" is neither`, fails: true},
		{why: "other vendors' variables, which a Slurm without AutoDetect sets too, do not matter", devices: nvidia8(), env: "SLURM_STEP_GPUS=4,5 CUDA_VISIBLE_DEVICES=4,5 ROCR_VISIBLE_DEVICES=4,5 ZE_AFFINITY_MASK=4,5", want: "9b bb"},
		{why: "Slurm alone, which does not hide the others", devices: nvidia8(), env: "SLURM_STEP_GPUS=2-3,6", want: "4c 5d cb"},
		{why: "Slurm hides the others: its numbers are the machine's, CUDA's begin at 0", devices: node(nvidia8()[2:4]...), env: "SLURM_STEP_GPUS=4,5 CUDA_VISIBLE_DEVICES=0,1", want: "9b bb"},
		{why: "likewise without CUDA's", devices: node(nvidia8()[2:4]...), env: "SLURM_JOB_GPUS=4,5", want: "9b bb"},
		{why: "a step's before its job's", devices: nvidia8(), env: "SLURM_JOB_GPUS=0,1 SLURM_STEP_GPUS=1", want: "3b"},
		{why: "fewer than Slurm's numbers", devices: node(nvidia8()[2:4]...), env: "SLURM_STEP_GPUS=4,5,6", want: "sees 2 GPUs, and none is number 4", fails: true},
		{why: "no numbers", devices: nvidia8(), env: "SLURM_STEP_GPUS=gpu:2", want: `"gpu:2" is no number`, fails: true},
		{why: "CUDA's order of GPUs of two kinds is CUDA's secret", devices: mixed(), env: "CUDA_VISIBLE_DEVICES=0", want: "set CUDA_DEVICE_ORDER=PCI_BUS_ID", fails: true},
		{why: "unless it is that of addresses; others are not limited, but for those that are less able", devices: mixed(), env: "CUDA_VISIBLE_DEVICES=1 CUDA_DEVICE_ORDER=PCI_BUS_ID", want: "c1 03 83"},
		{why: "or Slurm's, which counts by address", devices: mixed(), env: "SLURM_STEP_GPUS=1 CUDA_VISIBLE_DEVICES=0", want: "41"},
		{why: "dies are GPUs", devices: mi250(), want: "c1 c6 c9 ce d1 d6 d9 de"},
		{why: "ROCm's indices", devices: mi250(), env: "ROCR_VISIBLE_DEVICES=6,7", want: "d9 de"},
		{why: "HIP counts within what ROCm leaves", devices: mi250(), env: "ROCR_VISIBLE_DEVICES=4,5,6,7 HIP_VISIBLE_DEVICES=2,0", want: "d9 d1"},
		{why: "HIP alone", devices: mi250(), env: "HIP_VISIBLE_DEVICES=3", want: "ce"},
		{why: "the kernel knows AMD's unique ids", devices: mi250(), env: "ROCR_VISIBLE_DEVICES=GPU-5a99aa00bb11cc22,GPU-5a1b2c3d4e5f6071", want: "de c6"},
		{why: "CUDA's variable is not AMD's", devices: mi250(), env: "CUDA_VISIBLE_DEVICES=1 ROCR_VISIBLE_DEVICES=2", want: "c9"},
		{why: "of the cards that a cgroup leaves", devices: amdOnly(2), env: "SLURM_STEP_GPUS=0,1 ROCR_VISIBLE_DEVICES=0,1", want: "c1 c6"},
		{why: "oneAPI's indices, over two PCI domains", devices: intel6(), env: "ZE_AFFINITY_MASK=2,3", want: "6c 18"},
		{why: "an empty mask is none, and no GPU else", devices: intel6(), env: "ZE_AFFINITY_MASK=", want: "18 42 6c 18 42 6c"},
		{why: "tiles", devices: intel6(), env: "ZE_AFFINITY_MASK=0.1", want: "0.1 is a tile of a GPU", fails: true},
		{why: "tiles counted as GPUs", devices: intel6(), env: "ZE_AFFINITY_MASK=11", want: "there is no GPU 11", fails: true},
		{why: "all vendors, but for the processor's own GPU", devices: mixed(), want: "03 41 83 c1"},
		{why: "which one may ask for", devices: mixed(), env: "CUDA_VISIBLE_DEVICES= ROCR_VISIBLE_DEVICES= ZE_AFFINITY_MASK=0", want: "00"},
		{why: "each vendor's variable in its own meaning", devices: mixed(), env: "CUDA_VISIBLE_DEVICES=GPU-aaaaaaaa ROCR_VISIBLE_DEVICES=0 ZE_AFFINITY_MASK=0 SLURM_STEP_GPUS=0,1,4", want: "c1 03 00"},
		{why: "the same number in each, as many as Slurm granted", devices: node(mixed()[1:5]...), env: "CUDA_VISIBLE_DEVICES=1 ROCR_VISIBLE_DEVICES=1 SLURM_STEP_GPUS=1,3", want: "c1 83"},
		{why: "Slurm grants one vendor's, and hides nothing", devices: mixed(), env: "ROCR_VISIBLE_DEVICES=0,1 SLURM_STEP_GPUS=2,3", want: "03 83"},
		{why: "Slurm that cannot tell vendors apart, but hides", devices: node(mixed()[2:4]...), env: "CUDA_VISIBLE_DEVICES=0,1 ROCR_VISIBLE_DEVICES=0,1 ZE_AFFINITY_MASK=0,1 SLURM_STEP_GPUS=1,2", want: "41 83"},
		{why: "and does not", devices: mixed(), env: "CUDA_VISIBLE_DEVICES=1 ROCR_VISIBLE_DEVICES=1 ZE_AFFINITY_MASK=1 SLURM_STEP_GPUS=1", want: "cannot tell which of them Slurm granted", fails: true},
		{why: "Slurm alone, of several vendors", devices: mixed(), env: "SLURM_STEP_GPUS=1", want: "cannot tell which of them Slurm granted", fails: true},
		{why: "a node without a GPU in a queue with some", devices: node(cpu), env: "SLURM_JOB_GPUS=0,1", want: "cpu"},
		{why: "nothing is left", devices: node(mi250()[1:]...), env: "ROCR_VISIBLE_DEVICES=", want: "that this process may use: ROCR_VISIBLE_DEVICES=", fails: true},
	} {
		list, err := on(test.devices, strings.Fields(test.env)...).Choices()
		if test.fails {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s, %v, want an error with %q", test.why, buses(list), err, test.want)
			}
			continue
		}
		if err != nil || buses(list) != test.want {
			t.Errorf("%s: %s, %v, want %s", test.why, buses(list), err, test.want)
		}
		for _, c := range list {
			if test.devices[c.Index].PCI != c.PCI {
				t.Errorf("%s: %s is not Vulkan's %d", test.why, c.Describe(), c.Index)
			}
		}
	}
}

func buses(list []Choice) string {
	var words []string
	for _, c := range list {
		if c.Type == vk.CPU {
			words = append(words, "cpu")
			continue
		}
		words = append(words, strings.Split(c.PCI, ":")[1])
	}
	return strings.Join(words, " ")
}

// TestForRank: ranks take different GPUs as long as there are some, and a rank to which one alone is granted takes that.
func TestForRank(t *testing.T) {
	for _, test := range []struct {
		why     string
		devices []vk.Info
		env     func(local int) string
		ranks   int
		want    string
	}{
		{"one each", mixed(), func(int) string { return "" }, 4, "03 41 83 c1"},
		{"--gpus-per-task, nothing hidden", nvidia8(), func(local int) string { return fmt.Sprint("CUDA_VISIBLE_DEVICES=", local) }, 3, "19 3b 4c"},
		{"two for each task", mi250(), func(local int) string { return fmt.Sprintf("ROCR_VISIBLE_DEVICES=%d,%d", 2*local, 2*local+1) }, 4, "c1 ce d1 de"},
		{"more ranks than GPUs", mixed(), func(int) string { return "" }, 5, "03 41 83 c1 03"},
	} {
		var list []Choice
		var seats []Seat
		for local := range test.ranks {
			c, err := on(test.devices, test.env(local)).ForRank(local)
			if err != nil {
				t.Fatal(test.why, err)
			}
			list, seats = append(list, c), append(seats, NewSeat(local, 0, c.Info))
		}
		if got := buses(list); got != test.want {
			t.Errorf("%s: %s, want %s", test.why, got, test.want)
		}
		if err := Shared(seats); (err != nil) != (test.ranks == 5) {
			t.Errorf("%s: %v", test.why, err)
		}
	}
}

// TestTwins: a GPU that two drivers offer is one, the one that can be used, and sharing it is seen whichever was chosen.
func TestTwins(t *testing.T) {
	radv := gpu(0x1002, "Radeon RX 7600 (RADV NAVI33)", "0000:03:00.0", "00000000030000000000000000000000")
	amdvlk := gpu(0x1002, "Radeon RX 7600", "0000:03:00.0", "ffffffff030000000000000000000000")
	amdvlk.Lacks = "subgroup operations"
	list, err := on(node(amdvlk, radv)).Choices()
	if err != nil || len(list) != 1 || list[0].Index != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := Shared([]Seat{NewSeat(0, 0, radv), NewSeat(1, 0, amdvlk)}); err == nil {
		t.Error("two drivers of one GPU were taken for two GPUs")
	}
}

// TestShared: two ranks on one GPU of one node, and on nothing else.
func TestShared(t *testing.T) {
	a, b := mixed()[1], mixed()[2]
	if err := Shared([]Seat{NewSeat(0, 0, a), NewSeat(1, 0, b), NewSeat(2, 1, a), NewSeat(3, 1, cpu), NewSeat(4, 1, cpu)}); err != nil {
		t.Error(err)
	}
	err := Shared([]Seat{NewSeat(0, 0, b), NewSeat(1, 1, a), NewSeat(2, 0, a), NewSeat(3, 1, a)})
	if want := "ranks 1 and 3 both have AMD Radeon RX 7900 XTX (RADV NAVI31) (PCI 0000:03:00.0) of node 1; start one rank"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Error(err)
	}
}
