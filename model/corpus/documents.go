package corpus

import "math/bits"

// documents is the set of a corpus' distinct documents, by their keys, with what is done with each: an open-addressed table of 17
// bytes a slot, between three and six eighths full. So a document takes 23 to 45 bytes, while the table grows 68, whatever its length.
type documents struct {
	keys  []key
	marks []verdict // absent where the slot is free
	count int
}

// The marks beside the verdicts, of which a slot has one.
const (
	absent verdict = 0
	seen   verdict = 0x80 // or-ed to a verdict: the document has passed in this reading
)

// slot is where k stands or would stand. The table has a free slot.
func (d *documents) slot(k key) int {
	mask := len(d.keys) - 1
	i := int(k.pick) & mask // a hash already
	for d.marks[i] != absent && d.keys[i] != k {
		i = (i + 1) & mask
	}
	return i
}

// add enters k, unused, and says whether it is new.
func (d *documents) add(k key) bool {
	if 4*(d.count+1) > 3*len(d.keys) {
		d.grow()
	}
	i := d.slot(k)
	if d.marks[i] != absent {
		return false
	}
	d.keys[i], d.marks[i] = k, unused
	d.count++
	return true
}

func (d *documents) grow() {
	old := *d
	n := max(1<<10, 2*len(old.keys))
	d.keys, d.marks = make([]key, n), make([]verdict, n)
	for i, m := range old.marks {
		if m != absent {
			j := d.slot(old.keys[i])
			d.keys[j], d.marks[j] = old.keys[i], m
		}
	}
}

// decide gives k, which is there, a verdict.
func (d *documents) decide(k key, v verdict) { d.marks[d.slot(k)] = v }

// pass is what is done with the document of k, absent where it is not known, and whether it has passed since the last rewind.
func (d *documents) pass(k key) (v verdict, again bool) {
	if d.count == 0 {
		return absent, false
	}
	i := d.slot(k)
	m := d.marks[i]
	if m != absent {
		d.marks[i] |= seen
	}
	return m &^ seen, m&seen != 0
}

// rewind begins another reading.
func (d *documents) rewind() {
	for i := range d.marks {
		d.marks[i] &^= seen
	}
}

// missed is how many documents have not passed since the last rewind, but for unused ones.
func (d *documents) missed() (n int) {
	for _, m := range d.marks {
		if m == train || m == heldOut {
			n++
		}
	}
	return n
}

// all calls fn with each key of that verdict and takes another for it.
func (d *documents) all(of verdict, fn func(k key) verdict) {
	for i, m := range d.marks {
		if m == of {
			d.marks[i] = fn(d.keys[i])
		}
	}
}

// copies is how often a document of that key stands in a text that holds its source share times: share rounded down or up, by the hash.
func (k key) copies(share float64) int {
	whole := int(share)
	if float64(bits.RotateLeft64(mix(k.split^k.pick), 7)>>11)/(1<<53) < share-float64(whole) {
		whole++
	}
	return whole
}
