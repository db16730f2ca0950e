package model

import (
	"math"
	"math/rand/v2"
)

// sketchWidth is how many random projections tell gradients apart.
const sketchWidth = 4

// Sketch is what a few numbers say of a bucket's gradient: its length, and its products with random signs, the same on all ranks. Two gradients
// whose difference is d long have products that differ by about d.
type Sketch struct {
	Name string
	Norm float64
	Dots [sketchWidth]float64
}

// Probe computes the gradient of one microbatch, which fill makes, at the weights as they are, with the first objective, and sketches it. Between two
// steps: weights, optimizer and gradient are afterwards what they were, the latter zero. Ranks that probe the same microbatch have the
// same weights, and so should have the same sketches but for rounding.
func (t *Trainer) Probe(fill Fill) ([]Sketch, error) {
	if err := t.backend.Write(t.loss, []float32{float32(t.Scale.Value), 0, 1, 0}); err != nil {
		return nil, err
	}
	if err := t.read(fill, 0); err != nil {
		return nil, err
	}
	if err := t.micro[0].Run(); err != nil {
		return nil, err
	}
	var list []Sketch
	for _, k := range t.Model.Buckets {
		x := make([]float32, k.Len)
		if err := t.backend.Read(k.flat(k.Grad), x); err != nil {
			return nil, err
		}
		list = append(list, sketch(k.Name, x))
		clear(x)
		if err := t.backend.Write(k.flat(k.Grad), x); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func sketch(name string, x []float32) Sketch {
	s, signs := Sketch{Name: name}, rand.NewPCG(1, uint64(len(x)))
	var bits uint64
	for i, v := range x {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			v = math.MaxFloat32 // what JSON can say, and nobody else has
		}
		if i%(64/sketchWidth) == 0 {
			bits = signs.Uint64()
		}
		s.Norm += float64(v) * float64(v)
		for k := range s.Dots {
			if bits&1 == 0 {
				s.Dots[k] += float64(v)
			} else {
				s.Dots[k] -= float64(v)
			}
			bits >>= 1
		}
	}
	s.Norm = math.Sqrt(s.Norm)
	return s
}

// Deviation is how far apart two sketches of one bucket are, as a part of the longer gradient.
func (s Sketch) Deviation(o Sketch) float64 {
	size := max(s.Norm, o.Norm)
	if size == 0 {
		return 0
	}
	worst := math.Abs(s.Norm - o.Norm)
	for i := range s.Dots {
		worst = max(worst, math.Abs(s.Dots[i]-o.Dots[i]))
	}
	return worst / size
}
