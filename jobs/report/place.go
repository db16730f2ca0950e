package report

import (
	"cmp"
	"slices"
)

// spread moves positions as little as it takes (in least squares) to keep them gap apart and within [lo, hi], in their order.
// It returns nil where they do not fit.
func spread(want []float64, gap, lo, hi float64) []float64 {
	n := len(want)
	if n == 0 || float64(n-1)*gap > hi-lo {
		return nil
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(want[a], want[b]) })

	// With the gaps taken out, "gap apart" becomes "not falling": isotonic regression by pooling adjacent violators.
	type block struct {
		sum  float64
		size int
	}
	mean := func(b block) float64 { return b.sum / float64(b.size) }
	var blocks []block
	for rank, i := range order {
		b := block{want[i] - float64(rank)*gap, 1}
		for len(blocks) > 0 && mean(blocks[len(blocks)-1]) >= mean(b) {
			last := blocks[len(blocks)-1]
			blocks, b = blocks[:len(blocks)-1], block{last.sum + b.sum, last.size + b.size}
		}
		blocks = append(blocks, b)
	}
	placed := make([]float64, n)
	rank := 0
	for _, b := range blocks {
		at := max(lo, min(hi-float64(n-1)*gap, mean(b)))
		for range b.size {
			placed[order[rank]] = at + float64(rank)*gap
			rank++
		}
	}
	return placed
}

// rows gives each interval the first row in which it meets no other.
func rows(intervals [][2]float64, gap float64) (row []int, n int) {
	order := make([]int, len(intervals))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(intervals[a][0], intervals[b][0]) })
	row = make([]int, len(intervals))
	var ends []float64
	for _, i := range order {
		r := slices.IndexFunc(ends, func(end float64) bool { return end+gap <= intervals[i][0] })
		if r < 0 {
			r = len(ends)
			ends = append(ends, 0)
		}
		ends[r], row[i] = intervals[i][1], r
	}
	return row, len(ends)
}

// textWidth estimates the width of a text in a sans-serif font, rather too wide than too narrow.
func textWidth(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z' || r == 'm' || r == 'w' || r > 0x2fff:
			w += 0.72
		case r == ' ' || r == '.' || r == ',' || r == 'i' || r == 'l' || r == '\u202f':
			w += 0.32
		default:
			w += 0.58
		}
	}
	return w * size
}

// fit shortens a text to a width.
func fit(s string, size, width float64) string {
	if textWidth(s, size) <= width {
		return s
	}
	r := []rune(s)
	for len(r) > 1 && textWidth(string(r)+"…", size) > width {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}
