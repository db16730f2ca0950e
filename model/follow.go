package model

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"saltern/compute"
)

// updateFirst updates the weights, and then has all ranks take those of rank 0, with norm and verdict on the gradient.
func (t *Trainer) updateFirst() error {
	if err := t.update.Run(); err != nil {
		return err
	}
	var control [4]float32
	if err := t.follow(t.control, control[:]); err != nil {
		return err
	}
	for k, b := range t.Model.Buckets { // also after a step that rank 0 skipped: another may not have
		start := time.Now()
		if err := t.follow(b.flat(b.P), t.gradients.data[k][:b.Len]); err != nil {
			return err
		}
		if t.ranks.Observe != nil {
			t.ranks.Observe("broadcast "+b.Name, start)
		}
	}
	return nil
}

// follow makes a tensor what it is on rank 0, by way of x.
func (t *Trainer) follow(of *compute.Tensor, x []float32) error {
	first := t.ranks.Rank() == 0
	if first {
		if err := t.backend.Read(of, x); err != nil {
			return err
		}
	}
	if err := t.ranks.Follow(x); err != nil || first {
		return err
	}
	return t.backend.Write(of, x)
}

// Checksum is that of a bucket's weights (CRC-32C of their bits).
type Checksum struct {
	Name string
	Sum  uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksums are those of all weights, bucket by bucket: the same where all bits are.
func (m *Model) Checksums(b compute.Backend) (list []Checksum, err error) {
	var data []float32
	for _, k := range m.Buckets {
		if cap(data) < k.Len {
			data = make([]float32, k.Len)
		}
		data = data[:k.Len]
		if err := b.Read(k.flat(k.P), data); err != nil {
			return nil, err
		}
		list = append(list, Checksum{k.Name, checksum(data)})
	}
	return list, nil
}

func checksum(data []float32) (sum uint32) {
	var piece [4096]byte
	for len(data) > 0 {
		n := min(len(data), len(piece)/4)
		for i, v := range data[:n] {
			binary.LittleEndian.PutUint32(piece[4*i:], math.Float32bits(v))
		}
		sum = crc32.Update(sum, castagnoli, piece[:4*n])
		data = data[n:]
	}
	return sum
}
