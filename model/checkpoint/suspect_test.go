package checkpoint

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
)

// TestKeepGood: the newest checkpoint up to the step that is known to be good outlives newer ones, until one that is as good comes after it.
func TestKeepGood(t *testing.T) {
	root := newRoot(t)
	for _, s := range []struct {
		step, good int
		want       []string
	}{
		{100, 0, []string{"latest", "step_00000100"}},
		{200, 150, []string{"latest", "step_00000100", "step_00000200"}},
		{300, 150, []string{"latest", "step_00000100", "step_00000300"}},
		{400, 350, []string{"latest", "step_00000300", "step_00000400"}},
		{500, 500, []string{"latest", "step_00000500"}},
	} {
		if _, err := Write(context.Background(), root, s.step, contents(s.step), Keep{Newest: 1, Good: s.good}); err != nil {
			t.Fatal(err)
		}
		if got := names(t, root); !slices.Equal(got, s.want) {
			t.Errorf("good up to %d, step %d leaves %v, want %v", s.good, s.step, got, s.want)
		}
	}
}

// TestSetAside: what came after a step is out of the run, twice if need be, and the run goes on from what came before.
func TestSetAside(t *testing.T) {
	root := newRoot(t)
	for _, step := range []int{100, 200, 300} {
		mustWrite(t, root, step, 0)
	}
	for i, s := range []struct {
		after, from int
		want        []string
	}{
		{300, 300, []string{"latest", "step_00000100", "step_00000200", "step_00000300"}},
		{250, 200, []string{"latest", "step_00000100", "step_00000200", "suspect_00000300"}},
		{250, 200, []string{"latest", "step_00000100", "step_00000200", "suspect_00000300", "suspect_00000300-1"}},
		{50, 0, []string{"suspect_00000100", "suspect_00000200", "suspect_00000300", "suspect_00000300-1"}},
	} {
		if i == 2 {
			mustWrite(t, root, 300, 0)
		}
		from, suspects, err := SetAside(root, s.after)
		if err != nil || from != s.from || len(suspects) != []int{0, 1, 1, 2}[i] {
			t.Errorf("after %d: goes on from %d, want %d; %v, %v", s.after, from, s.from, suspects, err)
		}
		if got := names(t, root); !slices.Equal(got, s.want) {
			t.Errorf("after %d: %v, want %v", s.after, got, s.want)
		}
		if s.from > 0 {
			mustOpen(t, root, s.from)
		} else if _, err := Open(root); !errors.Is(err, ErrNone) {
			t.Errorf("%v, want none", err)
		}
	}
	if from, suspects, err := SetAside(filepath.Join(root, "nowhere"), 7); from != 0 || suspects != nil || err != nil {
		t.Errorf("of a run without checkpoints: %d, %v, %v", from, suspects, err)
	}
}
