package place

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"saltern/compute/vk"
)

// testdata/*.json is what "saltern devices --json" said of drivers, captured by make test-fleet: see testdata/README.md.

// capturedRow is a row of such a file.
type capturedRow struct {
	Chosen                                            bool
	Index                                             int
	Name, Type, Driver, API, PCI, UUID, Lacks, Vendor string
	Model                                             string
	Memory                                            float64 `json:"memory_gib"`
}

func (r capturedRow) info(t *testing.T) vk.Info {
	t.Helper()
	number := func(text string) uint32 {
		n, err := strconv.ParseUint(text, 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	i := vk.Info{Index: r.Index, Name: r.Name, Driver: r.Driver, API: r.API, PCI: r.PCI, UUID: r.UUID, Lacks: r.Lacks, Memory: int64(r.Memory * (1 << 30)), Vendor: number(r.Vendor), Model: number(r.Model)}
	for i.Type.String() != r.Type {
		if i.Type++; i.Type > vk.CPU {
			t.Fatalf("%q is no type of a device", r.Type)
		}
	}
	return i
}

// captured reads one of the files.
func captured(t *testing.T, name string) (devices []vk.Info, chosen int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []capturedRow
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	chosen = slices.IndexFunc(rows, func(r capturedRow) bool { return r.Chosen })
	for _, r := range rows {
		devices = append(devices, r.info(t))
	}
	return devices, chosen
}

// nodeOf puts captured devices into one machine, in the order given: NAME, or NAME@BUS for one that is moved there. The shim has all of AMD's at
// 0000:04:00.0 and all of NVIDIA's at 0000:01:00.0; the UUID moves along as RADV and NVK make it, of the address.
func nodeOf(t *testing.T, words string) []vk.Info {
	t.Helper()
	var list []vk.Info
	for _, word := range strings.Fields(words) {
		name, bus, moved := strings.Cut(word, "@")
		devices, _ := captured(t, name)
		for _, d := range devices {
			if at := map[uint32]int{0x1002: 8, 0x10de: 22}[d.Vendor]; moved {
				if was := strings.Split(d.PCI, ":")[1]; d.UUID[at:at+2] != was {
					t.Fatalf("the UUID of %s, %s, has no bus %s", name, d.UUID, was)
				}
				d.PCI, d.UUID = "0000:"+bus+":00.0", d.UUID[:at]+bus+d.UUID[at+2:]
			}
			list = append(list, d)
		}
	}
	return node(list...)
}

// TestCapturedChoice: in every process that was captured a rank takes the device that saltern marked there.
func TestCapturedChoice(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 17 {
		t.Fatalf("%d files, %v; want three versions of lavapipe, thirteen GPUs, and several at once", len(files), err)
	}
	for _, file := range files {
		devices, chosen := captured(t, strings.TrimSuffix(filepath.Base(file), ".json"))
		list, err := on(devices).Choices()
		if err != nil || len(list) != 1 || list[0].Index != chosen {
			t.Errorf("%s: %v, %v; want device %d alone", file, list, err, chosen)
		}
	}
}

// TestCapturedNodes: what ranks take on nodes of several vendors, by the names and addresses that drivers tell.
func TestCapturedNodes(t *testing.T) {
	const four = "lavapipe_26 navi31@83 ada@41 strix1@e5 navi21@03 blackwell@c1"
	for _, test := range []struct {
		why, node, env string
		want           string // names, in the order of the local ranks; or what the error says
		fails          bool
	}{
		{why: "two vendors at the addresses that their drivers tell", node: "navi31 ampere lavapipe_26", want: "NVK, NAVI31"},
		{why: "NVIDIA's is hidden", node: "navi31 ampere lavapipe_26", env: "CUDA_VISIBLE_DEVICES=", want: "NAVI31"},
		{why: "one of each vendor's, counted by itself", node: "navi31 ampere lavapipe_26", env: "CUDA_VISIBLE_DEVICES=0 ROCR_VISIBLE_DEVICES=0", want: "NVK, NAVI31"},
		{why: "a number of Slurm's that may be anyone's", node: "navi31 ampere", env: "SLURM_STEP_GPUS=0", want: "of several vendors", fails: true},
		{why: "discrete ones, by address, and not the one of the processor", node: four, want: "NAVI21, NVK, NAVI31, NVK"},
		{why: "which one may ask for", node: four, env: "ROCR_VISIBLE_DEVICES=2 CUDA_VISIBLE_DEVICES=", want: "STRIX1"},
		{why: "AMD's GPUs by what their UUIDs are made of", node: four, env: "ROCR_VISIBLE_DEVICES=GPU-0000000083 CUDA_VISIBLE_DEVICES=", want: "NAVI31"},
		{why: "NVK has one name for both, so CUDA's order is by address", node: four, env: "CUDA_VISIBLE_DEVICES=1 ROCR_VISIBLE_DEVICES=", want: "NVK"},
		{why: "AMD's GPUs of two kinds, ROCm's order is that of addresses", node: "gfx1201@41 vega20@03 lavapipe_26", env: "ROCR_VISIBLE_DEVICES=1,0", want: "GFX1201, VEGA20"},
		{why: "a GPU without an address, on a machine without others", node: "lavapipe_26 m1", want: "G13G"},
		{why: "two of them, last and as listed", node: "adreno740 m1 strix1", want: "STRIX1, Adreno, G13G"},
		{why: "none of the variables is about them", node: "m1 lavapipe_26", env: "CUDA_VISIBLE_DEVICES=0 ROCR_VISIBLE_DEVICES=0 ZE_AFFINITY_MASK=0", want: "G13G"},
		{why: "a driver's null device is no GPU of another vendor", node: "several", env: "SLURM_STEP_GPUS=3", want: "NVK"},
		{why: "and no AMD GPU that a variable may mean", node: "several", env: "ROCR_VISIBLE_DEVICES=0", want: "NVK"},
		{why: "nor what is left where all are hidden", node: "several", env: "CUDA_VISIBLE_DEVICES=", want: "llvmpipe"},
	} {
		devices := nodeOf(t, test.node)
		list, err := on(devices, strings.Fields(test.env)...).Choices()
		var names []string
		for i, c := range list {
			want := strings.Split(test.want, ", ")
			if names = append(names, c.Name); i < len(want) && strings.Contains(c.Name, want[i]) {
				names[i] = want[i]
			}
		}
		switch got := strings.Join(names, ", "); {
		case test.fails && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %s, %v; want an error with %q", test.why, got, err, test.want)
		case !test.fails && (err != nil || got != test.want):
			t.Errorf("%s: %s, %v; want %s", test.why, got, err, test.want)
		}
	}
	if list, err := on(nodeOf(t, four), "CUDA_VISIBLE_DEVICES=1", "ROCR_VISIBLE_DEVICES=").Choices(); err != nil || list[0].PCI != "0000:c1:00.0" {
		t.Errorf("the second NVIDIA GPU by address is %v, %v", list, err)
	}
}

// TestCapturedSeats: which devices are one, and which are of one kind.
func TestCapturedSeats(t *testing.T) {
	seats := func(words string) (list []Seat) {
		for rank, d := range nodeOf(t, words) {
			list = append(list, NewSeat(rank, 0, d))
		}
		return list
	}
	for _, test := range []struct {
		why, node string
		kinds     int
		shared    string // what the error says; empty: none
	}{
		{"two vendors", "navi31 ampere", 2, ""},
		{"two slots, one kind", "navi31@03 navi31@83", 1, ""},
		{"one slot", "navi31 navi31", 1, "both have AMD Radeon RX 7900 XTX (RADV NAVI31) (PCI 0000:04:00.0)"},
		{"a GPU without an address", "m1 m1", 1, "both have Apple M1 (G13G A0) (UUID e777b2ba261c293d07edab130dbec13b)"},
		{"two GPUs without an address", "m1 adreno740", 2, ""},
		{"lavapipe of three systems on one processor", "lavapipe_22 lavapipe_25 lavapipe_26", 3, ""},
	} {
		list := seats(test.node)
		if kinds := len(strings.Split(Kinds(list), "; ")); kinds != test.kinds {
			t.Errorf("%s: %d kinds, want %d: %s", test.why, kinds, test.kinds, Kinds(list))
		}
		if err := Shared(list); (err != nil) != (test.shared != "") || err != nil && !strings.Contains(err.Error(), test.shared) {
			t.Errorf("%s: %v, want %q", test.why, err, test.shared)
		}
	}
	var processors []string
	for _, s := range seats("lavapipe_22 lavapipe_25 lavapipe_26") {
		processors = append(processors, s.ID)
	}
	if len(slices.Compact(processors)) != 1 {
		t.Errorf("drivers of one processor, which share its memory, are %q", processors)
	}
	other := nodeOf(t, "navi31 navi31@83")
	if other[1].Model++; NewSeat(0, 0, other[0]).Kind == NewSeat(1, 0, other[1]).Kind {
		t.Error("two models that a driver calls the same are of one kind")
	}
	unknown := []vk.Info{{Index: 0, Name: "new", UUID: fmt.Sprintf("%032d", 0)}, {Index: 1, Name: "new", UUID: fmt.Sprintf("%032d", 0)}}
	if Identity(unknown[0]) == Identity(unknown[1]) {
		t.Error("two devices of which a driver tells neither address nor UUID are one")
	}
}
