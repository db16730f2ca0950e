package jobs

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"saltern/distill"
	"saltern/model/corpus"
	"saltern/model/token"
)

// selectView is what "saltern select" shows. As JSON its keys stay.
type selectView struct {
	Summary    string  `json:"-"`
	Candidates int     `json:"candidates"`
	Selected   int     `json:"selected"`
	Threshold  float64 `json:"threshold"` // the lowest score that was selected
	Rule       struct {
		TopK   int    `json:"top_k"`
		Masked string `json:"masked"`
	} `json:"rule"`
	Histogram []scoreBin      `json:"histogram"`
	Sources   []sourceShare   `json:"sources"`
	Examples  []selectExample `json:"examples"`
}

// scoreBin counts the candidates with a score of at least From and less than To; where both are 0, of exactly 0.
type scoreBin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Candidates int     `json:"candidates"`
	Selected   int     `json:"selected"`
}

// sourceShare is what was selected of a source, in tokens.
type sourceShare struct {
	Source     string  `json:"source"`
	Candidates int64   `json:"candidate_tokens"`
	Selected   int64   `json:"selected_tokens"`
	Share      float64 `json:"share"` // selected of candidates
}

// selectExample is the beginning of one candidate.
type selectExample struct {
	Selected bool    `json:"selected"`
	Score    float64 `json:"score"`
	Sequence int64   `json:"sequence"`
	File     string  `json:"file"`
	Text     string  `json:"text"`
}

func (s *selection) view(set *corpus.Set, rule distill.SelectConfig) (*selectView, error) {
	origins, err := set.Origins()
	if err != nil {
		return nil, &Error{BadData, err}
	}
	tok, err := set.Tokenizer()
	if err != nil {
		return nil, &Error{BadData, err}
	}
	v := &selectView{
		Summary: strings.TrimSpace(s.describe(rule) + "\n" + s.warning()), Candidates: len(s.ranked), Selected: s.kept, Threshold: s.threshold(),
		Histogram: s.histogram(), Sources: s.sources(origins),
	}
	v.Rule.TopK, v.Rule.Masked = rule.TopK, rule.Masked
	for _, i := range s.exampleRanks() {
		e, err := s.example(i, set, origins, tok)
		if err != nil {
			return nil, &Error{BadData, err}
		}
		v.Examples = append(v.Examples, e)
	}
	return v, nil
}

// histogramBins is about how many bins a histogram has.
const histogramBins = 14

// histogram counts the scores in bins of a round width; those of exactly 0, which say nothing, have one of their own.
func (s *selection) histogram() []scoreBin {
	width := roundWidth(s.ranked[0].Score / histogramBins)
	bins := []scoreBin{{}}
	for i, c := range s.ranked {
		at := 0
		if c.Score > 0 {
			at = 1 + int(c.Score/width)
		}
		for len(bins) <= at {
			n := float64(len(bins))
			bins = append(bins, scoreBin{From: (n - 1) * width, To: n * width})
		}
		bins[at].Candidates++
		if i < s.kept {
			bins[at].Selected++
		}
	}
	return bins
}

// roundWidth is the smallest of 1, 2, 2.5 and 5 times a power of ten that is at least w.
func roundWidth(w float64) float64 {
	if !(w > 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(w)))
	for _, f := range []float64{1, 2, 2.5, 5} {
		if w <= f*power {
			return f * power
		}
	}
	return 10 * power
}

// sources adds up by source, the one with the most candidates first.
func (s *selection) sources(o *corpus.Origins) []sourceShare {
	all, kept := make([]int64, len(o.Groups)), make([]int64, len(o.Groups))
	for i, c := range s.ranked {
		from := c.ID * int64(s.Sequence)
		o.Count(from, from+int64(s.Sequence), all)
		if i < s.kept {
			o.Count(from, from+int64(s.Sequence), kept)
		}
	}
	var list []sourceShare
	for i, name := range o.Groups {
		if all[i] > 0 {
			list = append(list, sourceShare{name, all[i], kept[i], float64(kept[i]) / float64(all[i])})
		}
	}
	slices.SortStableFunc(list, func(a, b sourceShare) int { return int(b.Candidates - a.Candidates) })
	return list
}

// exampleRanks are the places of the texts that are shown: of both sides the highest score, the one in the middle, and the lowest.
func (s *selection) exampleRanks() []int {
	n := len(s.ranked)
	list := []int{0, s.kept / 2, s.kept - 1, s.kept, (s.kept + n) / 2, n - 1}
	if s.kept == n {
		list = list[:3]
	}
	return slices.Compact(list)
}

func (s *selection) example(i int, set *corpus.Set, o *corpus.Origins, tok *token.Tokenizer) (selectExample, error) {
	c := s.ranked[i]
	ids := make([]uint32, s.Sequence+1)
	if err := set.Train.Sequence(c.ID, ids); err != nil {
		return selectExample{}, err
	}
	return selectExample{i < s.kept, c.Score, c.ID, o.File(c.ID * int64(s.Sequence)), shorten(string(tok.Decode(ids)), exampleRunes)}, nil
}

// exampleRunes is how much of a text is shown.
const exampleRunes = 240

// shorten puts a text on one line and cuts it off after n characters.
func shorten(text string, n int) string {
	line := []rune(strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " "))
	if len(line) > n {
		line = append(line[:n-1], '…')
	}
	return string(line)
}

func (v *selectView) write(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	var b strings.Builder
	b.WriteString(v.Summary + "\n\n")
	for _, t := range []Table{v.histogramTable(), v.sourcesTable()} {
		if err := t.Write(&b, false); err != nil {
			return err
		}
		b.WriteString("\n")
	}
	for i, e := range v.Examples {
		if i == 0 || e.Selected != v.Examples[i-1].Selected {
			b.WriteString(map[bool]string{true: "selected, the first, the middle and the last by score:\n", false: "not selected, likewise:\n"}[e.Selected])
		}
		fmt.Fprintf(&b, "  %.3f  %s, sequence %d\n         %s\n", e.Score, e.File, e.Sequence, e.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// barWidth is the length of the longest bar, in characters.
const barWidth = 48

// histogramTable draws the bins: of each bar the full part was selected, the light part was not.
func (v *selectView) histogramTable() Table {
	t := Table{Columns: []Column{{Title: "score"}, {Title: "█ selected  ░ not"}, {Title: "candidates"}, {Title: "selected"}}}
	most := 1
	for _, b := range v.Histogram {
		most = max(most, b.Candidates)
	}
	for _, b := range v.Histogram {
		label := "0"
		if b.To > 0 {
			label = fmt.Sprintf("%.4g to %.4g", b.From, b.To)
		}
		t.Rows = append(t.Rows, []any{label, bar(b, most), b.Candidates, b.Selected})
	}
	return t
}

// bar is a bin's bar; what is there is seen, if only as a hair.
func bar(b scoreBin, most int) string {
	length := func(n int) int { return (n*barWidth + most - 1) / most }
	full := min(length(b.Selected), length(b.Candidates))
	rest := length(b.Candidates) - full
	if rest == 0 && b.Selected < b.Candidates {
		full, rest = max(0, full-1), 1
	}
	return strings.Repeat("█", full) + strings.Repeat("░", rest)
}

// shownSources is how many sources are listed by name.
const shownSources = 12

func (v *selectView) sourcesTable() Table {
	t := Table{Columns: []Column{
		{Title: "source"}, {Title: "candidates", Unit: "tokens"}, {Title: "selected", Unit: "tokens"},
		{Title: "kept", Unit: "of the source", Format: "%.1f%%"}, {Title: "share", Unit: "of the selection", Format: "%.1f%%"},
	}}
	var all int64
	for _, s := range v.Sources {
		all += s.Selected
	}
	add := func(name string, candidates, selected int64) {
		t.Rows = append(t.Rows, []any{name, candidates, selected, 100 * float64(selected) / float64(max(1, candidates)), 100 * float64(selected) / float64(max(1, all))})
	}
	list := v.Sources
	if len(list) > shownSources {
		list = list[:shownSources-1]
	}
	for _, s := range list {
		add(s.Source, s.Candidates, s.Selected)
	}
	if rest := v.Sources[len(list):]; len(rest) > 0 {
		var candidates, selected int64
		for _, s := range rest {
			candidates, selected = candidates+s.Candidates, selected+s.Selected
		}
		add(fmt.Sprintf("%d others", len(rest)), candidates, selected)
	}
	return t
}
