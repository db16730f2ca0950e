package corpus

import (
	"fmt"
	"slices"
	"testing"
)

func TestOrderIsBijection(t *testing.T) {
	for _, n := range []int64{1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097} {
		for epoch := range int64(3) {
			o := Order{Seed: 5, Sequences: n}
			seen := make([]bool, n)
			for i := range n {
				at := o.At(epoch*n + i)
				if at < 0 || at >= n || seen[at] {
					t.Fatalf("n=%d epoch %d: sample %d is %d, out of range or seen before", n, epoch, i, at)
				}
				seen[at] = true
			}
			if got := o.Epoch(epoch*n + n - 1); got != epoch {
				t.Errorf("n=%d: last sample of epoch %d is in epoch %d", n, epoch, got)
			}
		}
	}
}

// TestOrder fixes values: a resumed job must see the same data under every later version.
func TestOrder(t *testing.T) {
	for _, c := range []struct {
		seed      uint64
		sequences int64
		first     int64
		want      []int64
	}{
		{0, 10, 0, []int64{5, 8, 2, 3, 6, 0, 1, 9}},
		{0, 10, 10, []int64{1, 5, 6, 9, 2, 8, 3, 7}},
		{1, 10, 0, []int64{3, 0, 5, 6, 7, 8, 9, 1}},
		{42, 1000003, 2000006, []int64{704129, 62305, 111017, 386636, 335173, 322141, 789280, 812928}},
		{9223372036854775808, 1099511627776, 12345, []int64{154242239907, 111728045331, 423070591456, 326020093569, 506105351787, 361670638843, 708675160492, 596439667818}},
	} {
		var got []int64
		for i := range int64(8) {
			got = append(got, Order{Seed: c.seed, Sequences: c.sequences}.At(c.first+i))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("seed %d, %d sequences from %d: %v, want %v; a job that resumes would see other data", c.seed, c.sequences, c.first, got, c.want)
		}
	}
}

// TestOrderMixes looks at what a bad permutation would show: fixed points, neighbours kept, epochs or seeds alike.
func TestOrderMixes(t *testing.T) {
	const n = 10007
	draw := func(seed uint64, epoch int64) []int64 {
		var all []int64
		for i := range int64(n) {
			all = append(all, Order{Seed: seed, Sequences: n}.At(epoch*n+i))
		}
		return all
	}
	base := draw(1, 0)
	neighbours := 0
	for i := 1; i < n; i++ {
		if d := base[i] - base[i-1]; d == 1 || d == -1 {
			neighbours++
		}
	}
	if neighbours > 15 { // 2 expected
		t.Errorf("%d of %d neighbours stay neighbours", neighbours, n)
	}
	identity := make([]int64, n)
	for i := range identity {
		identity[i] = int64(i)
	}
	for name, other := range map[string][]int64{"the stored order": identity, "epoch 1": draw(1, 1), "seed 2": draw(2, 0)} {
		same := 0
		for i := range base {
			if base[i] == other[i] {
				same++
			}
		}
		if same > 10 { // 1 expected
			t.Errorf("seed 1, epoch 0 agrees with %s in %d of %d places", name, same, n)
		}
	}
	// Any window of an epoch must be spread over the whole stream: its mean is near the middle.
	sum := int64(0)
	for _, at := range base[:1000] {
		sum += at
	}
	if mean := float64(sum) / 1000; mean < 0.45*n || mean > 0.55*n { // 5.5 standard errors
		t.Errorf("the first tenth of an epoch has mean %.0f of %d", mean, n)
	}
}

func TestOrderOnly(t *testing.T) {
	o := Order{Seed: 3, Sequences: 4, Only: []int64{10, 20, 30, 40}}
	var got []int64
	for i := range int64(4) {
		got = append(got, o.At(4+i))
	}
	slices.Sort(got)
	if !slices.Equal(got, o.Only) {
		t.Errorf("an epoch of a selection drew %v", got)
	}
	for _, bad := range []Order{{}, {Sequences: -1}, {Sequences: 3, Only: []int64{1}}} {
		if at := bad.At(0); at != -1 {
			t.Errorf("%+v gives sequence %d, want -1", bad, at)
		}
	}
	if at := o.At(-1); at != -1 {
		t.Errorf("sample -1 is sequence %d, want -1", at)
	}
}

func ExampleOrder() {
	order := Order{Seed: 1, Sequences: 5}
	for sample := range int64(10) { // two epochs
		fmt.Print(order.At(sample), " ")
	}
	// Output: 3 0 2 4 1 3 0 1 4 2
}

func BenchmarkOrder(b *testing.B) {
	o := Order{Seed: 1, Sequences: 123456789}
	i := int64(0)
	for b.Loop() {
		i += o.At(i)&1 + 1
	}
}
