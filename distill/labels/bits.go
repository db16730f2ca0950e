package labels

import (
	"encoding/binary"
	"math/bits"
)

// bitWriter appends numbers of some bits each, the lowest bit first.
type bitWriter struct {
	data []byte
	last uint64 // bits that do not fill a byte yet
	n    int    // their number
}

// put appends the lowest n bits of v, at most 56, which must be all there are.
func (w *bitWriter) put(v uint64, n int) {
	w.last |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.data = append(w.data, byte(w.last))
		w.last >>= 8
	}
}

// golomb appends v in an exponential Golomb code of order k (Teuhola 1978): v < 2^k takes k + 1 bits, and each doubling of it two
// more. Order 0 of v-1 is Elias' gamma code of v.
func (w *bitWriter) golomb(v uint32, k int) {
	high := uint64(v>>k) + 1
	n := bits.Len64(high) - 1
	w.put(1<<n, n+1)
	w.put(high-1<<n, n)
	w.put(uint64(v)&(1<<k-1), k)
}

// count appends how often an id was drawn, 1 to most: whether more than once, and by how much in Elias' gamma code. Nothing, where it
// cannot be otherwise.
func (w *bitWriter) count(n, most int) {
	switch {
	case most == 1:
	case n == 1:
		w.put(1, 1)
	default:
		w.put(0, 1)
		if most > 2 {
			w.golomb(uint32(n-2), 0)
		}
	}
}

// end fills the last byte with zeros.
func (w *bitWriter) end() []byte {
	if w.n > 0 {
		w.put(0, 8-w.n)
	}
	return w.data
}

// bitReader takes numbers from what bitWriter wrote. Beyond the end it reads zeros and notes that it did.
type bitReader struct {
	data []byte
	next uint64 // bits read from data and not taken yet
	n    int    // their number
	over bool
}

// fill has at least 56 bits at hand afterwards.
func (r *bitReader) fill() {
	if len(r.data) >= 8 {
		r.next |= binary.LittleEndian.Uint64(r.data) << r.n
		taken := (63 - r.n) / 8
		r.data = r.data[taken:]
		r.n += 8 * taken
		r.next &= 1<<r.n - 1
		return
	}
	for ; r.n <= 56; r.n += 8 {
		if len(r.data) == 0 {
			return
		}
		r.next |= uint64(r.data[0]) << r.n
		r.data = r.data[1:]
	}
}

// take gives the next n bits, at most 56.
func (r *bitReader) take(n int) uint64 {
	if r.n < n {
		r.fill()
		if r.n < n {
			r.over, r.n = true, n
		}
	}
	v := r.next & (1<<n - 1)
	r.next >>= n
	r.n -= n
	return v
}

// ready is what is at hand before a code is read: the longest, of 2^20 - 1 in order 0, has 41 bits.
const ready = 41

// golomb takes a number that bitWriter.golomb wrote. Shifts are by less than 64, which the compiler is told.
func (r *bitReader) golomb(k int) uint32 {
	if r.n < ready {
		r.fill()
	}
	n := bits.TrailingZeros64(r.next)
	size := 2*n + 1 + k
	if size > r.n || n+k > 32 { // no code is longer: damaged, or the end
		r.over = true
		return 0
	}
	v, one := r.next>>((n+1)&63), uint64(1)<<(n&63)
	high, low := v&(one-1)+one-1, v>>(n&63)&(1<<(k&63)-1)
	r.next >>= size & 63
	r.n -= size
	return uint32(high<<(k&63) | low)
}

// count takes what bitWriter.count wrote.
func (r *bitReader) count(most int) int {
	if most == 1 {
		return 1
	}
	if r.n < ready {
		r.fill()
	}
	once := r.next & 1
	r.next >>= 1
	if r.n--; r.n < 0 {
		r.over, r.n = true, 0
	}
	switch {
	case once == 1:
		return 1
	case most == 2:
		return 2
	}
	return int(r.golomb(0)) + 2
}

// ended says whether all there was has been taken.
func (r *bitReader) ended() bool { return !r.over && len(r.data) == 0 && r.next == 0 }
