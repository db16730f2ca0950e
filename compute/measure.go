package compute

import "slices"

// Measure is one of the things that drivers tell of a kernel's machine code, each under names of its own.
type Measure int

// The measures. Lanes of a subgroup and bytes of workgroup memory are in Compiled, as they need no driver to tell.
const (
	Registers    Measure = iota // of 32 bits, for each invocation
	Spills                      // stores to memory, for want of registers
	Scratch                     // bytes of memory in place of registers, by the driver's own count
	Occupancy                   // subgroups or invocations that a processor holds at a time
	CodeSize                    // bytes
	Instructions                // as they stand, each once
	Cycles                      // a static guess for one subgroup; comparable within one driver alone
)

// told says under which name a driver tells a measure, and how many of the measure's units one of its own is.
type told struct {
	name  string
	units float64
}

// measures maps each measure to the names that are known: a new driver is a new line here. Where a driver tells several of
// them, as spills of two kinds of register, they add up.
var measures = [...][]told{
	Registers: {
		{"VGPRs", 1},              // RADV
		{"Number of GPRs", 1},     // NVK
		{"GPRs", 0.5},             // Honeykrisp, of 16 bits
		{"Registers used", 4},     // Turnip, of four elements
		{"Max live registers", 1}, // ANV, of a whole subgroup's lanes
		{"Register Count", 1},     // NVIDIA
	},
	Spills: {
		{"Spilled VGPRs", 1}, {"Spilled SGPRs", 1}, {"Spills to memory", 1}, {"Spills", 1}, {"STP Count", 1}, {"Spill Count", 1},
	},
	Scratch: {
		{"Scratch size", 1}, {"SLM size", 1}, {"Scratch", 1}, {"Scratch Memory Size", 1}, {"Local Memory Size", 1},
	},
	Occupancy: {
		{"Subgroups per SIMD", 1}, {"Max warps/SM", 1}, {"Threads", 1}, {"Max Waves Per Core", 1},
	},
	CodeSize:     {{"Code size", 1}, {"Binary Size", 1}},
	Instructions: {{"Instructions", 1}, {"Instruction count", 1}, {"Instruction Count", 1}},
	Cycles:       {{"Latency", 1}, {"Static cycle count", 1}, {"ALU", 1}, {"Cycle Count", 1}},
}

// Get is a measure of the machine code; false if the driver does not tell it.
func (c Compiled) Get(m Measure) (value float64, ok bool) {
	for _, s := range c.Statistics {
		if i := slices.IndexFunc(measures[m], func(t told) bool { return t.name == s.Name }); i >= 0 {
			value, ok = value+s.Value*measures[m][i].units, true
		}
	}
	return value, ok
}

// Spilled says whether the kernel keeps in memory what belongs into registers, as far as the driver tells.
func (c Compiled) Spilled() bool {
	spills, _ := c.Get(Spills)
	scratch, _ := c.Get(Scratch)
	return spills+scratch > 0
}

// Hot says that a training spends nearly all its time in this operation: its kernels must not spill.
func (op *Op) Hot() bool { return slices.Contains(hot, op.Name) }

var hot = []string{"matmul", "attention", "attention_dot", "attention_grad_q", "attention_grad_kv", "softmax_loss"}
