package jobs

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"saltern/compute"
	"saltern/compute/vk"
)

// ceilingProduct is the fastest square matrix product of a device, loaded and ready to be timed again: what other arithmetic
// is held against, in benchmarks and as the peak that a training's MFU is a share of.
type ceilingProduct struct {
	device  *compute.Device
	program *compute.Program
	exe     compute.Executable
	kernel  string
	flops   int64
	gflops  float64 // when it was chosen
}

// bestProduct times squares of that type and the given sizes in the three forms, with the kernels that the tuner chooses, and loads the
// fastest. Close it.
func bestProduct(device *compute.Device, tuner *compute.Tuner, t compute.DType, sizes []int, runs int) (*ceilingProduct, error) {
	best := &ceilingProduct{device: device}
	for _, size := range sizes {
		for _, f := range []compute.Form{compute.NN, compute.NT, compute.TN} {
			p, err := productProgram(t, square(size), f)
			if err != nil {
				return nil, err
			}
			list, err := tuner.TimeNode(p.Nodes[0], runs)
			if err != nil {
				return nil, err
			}
			flops, _ := p.Cost()
			if rate := spreadOf(list[0].Runs).rate(flops); rate > best.gflops {
				best.program, best.kernel, best.flops, best.gflops = p, list[0].Kernel.Name, flops, rate
			}
		}
	}
	exes, err := device.Load(best.program)
	if err != nil {
		return nil, err
	}
	best.exe = exes[0]
	for _, t := range best.program.Nodes[0].In {
		if err := writeRandom(device, t); err != nil {
			best.close()
			return nil, err
		}
	}
	return best, nil
}

// rate measures it as it is now, in GFLOP/s.
func (c *ceilingProduct) rate(runs int) (float64, error) {
	list, err := timeRuns(c.exe, runs)
	if err != nil {
		return 0, err
	}
	return spreadOf(list).rate(c.flops), nil
}

func (c *ceilingProduct) close() {
	c.exe.Close()
	c.device.Free(c.program.Storages()...)
}

func (c *ceilingProduct) String() string {
	n := c.program.Nodes[0]
	return fmt.Sprintf("%s %d square by %s, %.1f GFLOP/s", label(n), n.Out[0].Shape[0], c.kernel, c.gflops)
}

// productProgram is one matrix product.
func productProgram(t compute.DType, p product, f compute.Form) (*compute.Program, error) {
	of := func(name string, rows, columns int) *compute.Tensor {
		return compute.NewTensor(compute.State, name, t, rows, columns)
	}
	a, b := of("a", p.m, p.k), of("b", p.k, p.n)
	if f == compute.NT {
		b = of("b", p.n, p.k)
	} else if f == compute.TN {
		a = of("a", p.k, p.m)
	}
	return record(func(r *compute.Recorder) { r.MatMul(a, b, f) })
}

// writeRandom fills a tensor with numbers of usual size: some devices multiply and move zeros faster.
func writeRandom(d *compute.Device, t *compute.Tensor) error {
	rng := rand.New(rand.NewPCG(1, uint64(t.Len())))
	data := make([]float32, t.Len())
	for i := range data {
		data[i] = rng.Float32() - 0.5
	}
	return d.Write(t, data)
}

// measuredPeak is the rate of the device's best matrix product of that type in GFLOP/s, measured in some tenths of a second where the
// tuner's cache knows the kernels; 0 where memory is too short to tell.
func measuredPeak(io IO, device *compute.Device, t compute.DType) (float64, error) {
	tuner, err := newTuner(io, device) // of its own: its choices are no part of a training's
	if err != nil {
		return 0, err
	}
	tuner.Progress = nil
	c, err := bestProduct(device, tuner, t, sizesFor(device.Limits().CPU).ceilings[:1], 3)
	if errors.Is(err, vk.ErrMemory) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer c.close()
	return c.gflops, nil
}

// peak is what the MFU of a training in that type is a share of, in GFLOP/s; 0: unknown. It is measured, and said, once.
func (s *session) peak(t compute.DType) (float64, error) {
	if gflops, ok := s.peaks[t]; ok {
		return gflops, nil
	}
	gflops, err := measuredPeak(s.io, s.device, t)
	if err != nil {
		return 0, err
	}
	if s.peaks == nil {
		s.peaks = map[compute.DType]float64{}
	}
	s.peaks[t] = gflops
	if gflops > 0 {
		s.say("MFU is the share of the device's best matrix product in %s, now %.4g GFLOP/s", t, gflops)
	}
	return gflops, nil
}
