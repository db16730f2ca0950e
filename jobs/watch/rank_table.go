package watch

import (
	"fmt"
	"slices"
	"time"

	"saltern/cluster/status"
	"saltern/jobs/progress"
)

// column is one of the table of ranks. Where there is no room, those of the lowest rank are left out.
type column struct {
	title string
	right bool
	keep  int
	text  func(r Rank) string
}

var rankColumns = []column{
	{"rank", true, 9, func(r Rank) string { return fmt.Sprint(r.Rank) }},
	{"host", false, 4, func(r Rank) string { return cut(clean(r.Host), 16) }},
	{"role", false, 6, func(r Rank) string { return clean(r.Role) }},
	{"step", true, 5, func(r Rank) string { return fmt.Sprint(r.Step) }},
	{"tok/s", true, 8, func(r Rank) string { return progress.Scaled(r.TokensPerSec, "k") }},
	{"a step", true, 7, func(r Rank) string { return each(r.StepMS) }},
	{"waits", true, 3, func(r Rank) string { return each(r.WaitMS) }},
	{"sends", true, 4, func(r Rank) string { return rated(r.SentPerSec) }},
	{"receives", true, 2, func(r Rank) string { return rated(r.ReceivedPerSec) }},
	{"device", false, 1, func(r Rank) string { return cut(clean(r.Device), 24) }},
}

func rated(bytes float64) string {
	if bytes != bytes {
		return "-"
	}
	return progress.Scaled(bytes, "K") + "B/s"
}

func each(ms float64) string {
	if ms <= 0 {
		return "-"
	}
	return progress.Each(time.Duration(ms * 1e6))
}

// rankLines is the table in at most h lines. Where there are more ranks, those that straggle come first.
func (s *State) rankLines(w, h int) []line {
	if len(s.Ranks) == 0 || h < 1+min(2, len(s.Ranks)) {
		return nil
	}
	shown, left := s.rows(h - 1)
	remark := 0
	for _, r := range shown {
		remark = max(remark, width(straggles(r, s.Ranks, s.Now)))
	}
	columns, widths := fitting(shown, w-1-remark-2)
	lines := []line{{{" ", plain}}}
	for i, c := range columns {
		lines[0].add(dim, pad(c.title, widths[i], c.right)+"  ")
	}
	for _, r := range shown {
		l := line{{" ", plain}}
		look := plain
		why := straggles(r, s.Ranks, s.Now)
		if why != "" {
			look = warn
			if r.silent(s.Now) {
				look = bad
			}
		}
		for i, c := range columns {
			as := look
			if as == plain && c.title == "role" && r.Role == status.Teacher {
				as = helped
			}
			l.add(as, pad(c.text(r), widths[i], c.right)+"  ")
		}
		l.add(look, why)
		lines = append(lines, l)
	}
	if left > 0 {
		lines = append(lines, line{{fmt.Sprintf(" and %d more", left), dim}})
	}
	return lines
}

// rows chooses the ranks of a table of n lines, and says how many are left out, for which a line is kept.
func (s *State) rows(n int) (shown []Rank, left int) {
	if len(s.Ranks) <= n {
		return s.Ranks, 0
	}
	list := slices.Clone(s.Ranks)
	slices.SortStableFunc(list, func(a, b Rank) int {
		return order(straggles(a, s.Ranks, s.Now)) - order(straggles(b, s.Ranks, s.Now))
	})
	return list[:n-1], len(list) - n + 1
}

func order(remark string) int {
	if remark != "" {
		return 0
	}
	return 1
}

// fitting are the columns that there is room for, and their widths.
func fitting(ranks []Rank, w int) (columns []column, widths []int) {
	columns = slices.Clone(rankColumns)
	for {
		widths = widths[:0]
		sum := 0
		for _, c := range columns {
			n := width(c.title)
			for _, r := range ranks {
				n = max(n, width(c.text(r)))
			}
			widths = append(widths, n)
			sum += n + 2
		}
		if sum <= w || len(columns) == 1 {
			return columns, widths
		}
		least := 0
		for i, c := range columns {
			if c.keep < columns[least].keep {
				least = i
			}
		}
		columns = slices.Delete(columns, least, least+1)
	}
}
