package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"saltern/distill"
	"saltern/distill/scores"
	"saltern/model/corpus"
)

// selection is what a rule makes of the scores: the candidates, the best first, of which the first kept are selected.
type selection struct {
	*scoring
	ranked []distill.Scored
	kept   int
	scored int   // sequences in the file, which may be more than the candidates of the rule
	bytes  int64 // of the file
}

// selectFrom reads scores and ranks the candidates by a rule: no device and no model are needed.
func selectFrom(path string, set *corpus.Set, sequence int, rule distill.SelectConfig) (*selection, error) {
	c := &scoring{}
	f, err := scores.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(BadData, "there are no scores in %s; make them: saltern score", path)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := toml.Unmarshal([]byte(f.Head.Settings), c); err != nil {
		return nil, fail(BadData, "%s: its settings cannot be read: %w; remove it and score again", path, err)
	}
	if c.Corpus != set.Manifest.Key || c.Sequence != sequence {
		return nil, fail(BadConfig, "%s holds scores of another text, or of sequences of another length; set [corpus], [tokenizer] and llm.train.sequence back, or remove it and score again", path)
	}
	candidates, err := c.candidates(set.Train, rule)
	if err != nil {
		return nil, err
	}
	if f.Sequences() < len(candidates) {
		torn := ""
		if f.Torn() {
			torn = ", and the block after them is cut off"
		}
		return nil, fail(BadData, "%s holds %d sequences, and there are %d candidates%s; score the rest: saltern score", path, f.Sequences(), len(candidates), torn)
	}
	sel := &selection{scoring: c, kept: int(rule.Keep), scored: f.Sequences(), bytes: f.Bytes()}
	err = f.Each(len(candidates), func(s scores.Sequence) error {
		if want := candidates[len(sel.ranked)]; s.ID != want {
			return fail(BadData, "%s holds sequence %d where %d belongs; remove it and score again", path, s.ID, want)
		}
		sel.ranked = append(sel.ranked, distill.Scored{ID: s.ID, Score: rule.Score(s)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	distill.Rank(sel.ranked)
	return sel, nil
}

// ids are the selected sequences, in the order of the text.
func (s *selection) ids() []int64 {
	ids := make([]int64, s.kept)
	for i := range ids {
		ids[i] = s.ranked[i].ID
	}
	slices.Sort(ids)
	return ids
}

// threshold is the lowest score that was kept.
func (s *selection) threshold() float64 { return s.ranked[s.kept-1].Score }

// checksum tells selections apart.
func checksum(ids []int64) string {
	h := sha256.New()
	for _, id := range ids {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(id)))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// selectText has the early SLM score the candidates where that is not done yet, and gives a training by "salt-ds" its sequences of
// stage 1.
func (t *training) selectText(ctx context.Context, s *session) error {
	if t.Select == nil {
		return nil
	}
	c, candidates, err := t.newScoring(s)
	if err != nil {
		return err
	}
	if err := s.ranks.first(ctx, func() error { return c.run(ctx, s, candidates) }); err != nil {
		return err
	}
	sel, err := selectFrom(c.file(), s.set, c.Sequence, *t.Select)
	if err != nil {
		return err
	}
	seconds, err := secondsSpent(c.dir)
	if err != nil {
		return err
	}
	n := int64(len(candidates))
	c.cost = scoringCost{Candidates: n, Selected: int64(sel.kept), FLOPs: c.flops(c.judge.Model, n), Seconds: seconds * float64(n) / float64(sel.scored)}
	t.scoring, t.selected = c, sel.ids()
	t.Selection = checksum(t.selected)
	s.say("%s: stage 1 reads %d of %d candidates, those with a score of at least %.3f", t.label, sel.kept, n, sel.threshold())
	if warning := sel.warning(); warning != "" {
		s.say("%s: %s", t.label, warning)
	}
	return nil
}

// warning says where the scores did not decide, else nothing.
func (s *selection) warning() string {
	if s.threshold() > 0 {
		return ""
	}
	nothing := 0
	for _, c := range s.ranked[:s.kept] {
		if c.Score == 0 {
			nothing++
		}
	}
	return fmt.Sprintf("Of those %d have a score of 0, which says nothing: they are chosen by hash. Raise select.early, raise select.top_k, or lower select.keep.", nothing)
}

// describe says in a line what was selected, and how.
func (s *selection) describe(rule distill.SelectConfig) string {
	masked := map[string]string{"zero": "count as 0", "drop": "are dropped"}[rule.Masked]
	return fmt.Sprintf("%d of %d candidates are selected, those with a score of at least %.3f: the median of -log q over a sequence's tokens, of which those not among the SLM's %d likeliest %s.",
		s.kept, len(s.ranked), s.threshold(), rule.TopK, masked)
}
