package scores

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"saltern/distill/blockfile"
)

// TestLossCode: every loss comes back within the error that the code promises, in order, and what is beyond comes back as the end.
func TestLossCode(t *testing.T) {
	const halfStep = 0.00079 // of loss + lossScale
	before := uint16(0)
	for x := 0.0; x <= maxLoss; x = x*1.0003 + 1e-5 {
		code := lossCode(float32(x))
		if got := float64(losses[code]); math.Abs(got-x) > halfStep*(x+lossScale)+1e-6 {
			t.Fatalf("a loss of %g became %g", x, got)
		}
		if code < before {
			t.Fatalf("the code of %g is below that of a smaller loss", x)
		}
		before = code
	}
	for code := range uint16(lossCodes) {
		if got := lossCode(losses[code]); got != code {
			t.Fatalf("code %d became %d", code, got)
		}
	}
	if losses[0] != 0 || lossCode(-1e-7) != 0 || lossCode(1e9) != lossCodes-1 || math.Abs(float64(losses[lossCodes-1])-maxLoss) > 1e-4 {
		t.Errorf("the ends are %g and %g", losses[0], losses[lossCodes-1])
	}
}

// TestRankCode: ranks come back exactly below 128, and never on the other side of a k that NearestK allows.
func TestRankCode(t *testing.T) {
	for rank := range uint32(1 << 19) {
		code := rankCode(rank)
		low := lowestRank(code)
		if low > rank || rank < exactRanks && low != rank || rank >= exactRanks && rank-low >= low/8 {
			t.Fatalf("rank %d became %d", rank, low)
		}
		if rankCode(low) != code {
			t.Fatalf("the lowest rank of code %d, %d, has another", code, low)
		}
	}
	if lowestRank(255) < 1<<19 || rankCode(math.MaxUint32) != 255 {
		t.Error("the codes do not reach over all vocabularies")
	}
	for _, test := range [][2]int{{-3, 1}, {1, 1}, {10, 10}, {127, 127}, {128, 128}, {129, 128}, {136, 128}, {137, 144}, {144, 144}, {1000, 1024}, {1 << 30, 7864320}} {
		if got := NearestK(test[0]); got != test[1] {
			t.Errorf("the nearest k to %d is %d, want %d", test[0], got, test[1])
		}
	}
}

// texts makes sequences as a model judges them: about half the tokens rank first, the others spread over the vocabulary.
func texts(n, T int) []Sequence {
	rng := rand.New(rand.NewPCG(5, 0))
	list := make([]Sequence, n)
	for i := range list {
		s := Sequence{ID: int64(i*i) % 100003, Loss: make([]float32, T), Rank: make([]uint32, T)}
		for j := range T {
			s.Loss[j] = float32(rng.ExpFloat64() * 2)
			s.Rank[j] = uint32(max(0, math.Exp(float64(s.Loss[j]))-4))
		}
		list[i] = s
	}
	return list
}

// write appends the sequences from where the file ends.
func write(t *testing.T, path string, list []Sequence) []byte {
	t.Helper()
	w, err := Append(path, Head{Sequence: len(list[0].Loss), Settings: "these"})
	if err != nil {
		t.Fatal(err)
	}
	if w.Sequences() < len(list) {
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	for i := w.Sequences(); i < len(list); i = w.Sequences() {
		if err := w.Write(list[i:min(len(list), i+w.Head.Block)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// same says whether got is want after its way through the codes.
func same(got, want Sequence) bool {
	return got.ID == want.ID && slices.EqualFunc(got.Loss, want.Loss, func(a, b float32) bool { return a == losses[lossCode(b)] }) &&
		slices.EqualFunc(got.Rank, want.Rank, func(a, b uint32) bool { return a == lowestRank(rankCode(b)) })
}

// TestFile reads what was written, in order and by id, and holds the size against what was promised, for text that compresses badly.
func TestFile(t *testing.T) {
	for _, T := range []int{1, 31, 512, 20000} {
		t.Run(fmt.Sprint(T), func(t *testing.T) {
			list := texts(3*BlockSequences(T)/2+1, T)
			if T == 1 {
				list = list[:1000] // one block, and ids that do not repeat
			}
			path := filepath.Join(t.TempDir(), "scores.bin")
			size := len(write(t, path, list))
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Head.Settings != "these" || f.Head.Sequence != T || f.Sequences() != len(list) || f.Torn() || f.Bytes() != int64(size) {
				t.Errorf("%+v, %d sequences in %d bytes, want %d in %d", f.Head, f.Sequences(), f.Bytes(), len(list), size)
			}
			for _, n := range []int{0, 1, len(list) - 1, len(list), len(list) + 1} {
				i := 0
				err := f.Each(n, func(s Sequence) error {
					if !same(s, list[i]) {
						t.Errorf("sequence %d is not what was written", i)
					}
					i++
					return nil
				})
				if err != nil || i != min(n, len(list)) {
					t.Fatalf("%d sequences of %d, %v", i, n, err)
				}
			}
			for _, i := range []int{0, len(list) / 2, len(list) - 1} {
				if s, err := f.Sequence(list[i].ID); err != nil || !same(s, list[i]) {
					t.Errorf("sequence %d by its id: %v", i, err)
				}
			}
			if _, err := f.Sequence(-1); err == nil {
				t.Error("a sequence that was not scored was found")
			}
			if per := float64(size) / float64(len(list)*T); T >= 31 && per > 2.6 {
				t.Errorf("%.3f bytes a token, want at most 2.5 and what ids take", per)
			} else {
				t.Logf("%.3f bytes a token", per)
			}
		})
	}
}

// TestResume stops passes at many bytes and lets others go on, some with more sequences than were wanted first.
func TestResume(t *testing.T) {
	const T = 900
	list := texts(70, T)
	whole := write(t, filepath.Join(t.TempDir(), "whole"), list)
	for cut := 200; cut < len(whole); cut += 3331 {
		path := filepath.Join(t.TempDir(), "cut")
		if err := os.WriteFile(path, whole[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		write(t, path, list[:40])
		if got := write(t, path, list); !bytes.Equal(got, whole) {
			t.Fatalf("stopped at byte %d, the file became another", cut)
		}
	}
}

func TestRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scores.bin")
	list := texts(30, 900)
	whole := write(t, path, list)
	w, err := Append(path, Head{Sequence: 900})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(list[:1]); err == nil || !strings.HasPrefix(err.Error(), "bug: ") {
		t.Errorf("a block after one that is not full: %v", err)
	}
	if err := w.Reopen(); err != nil {
		t.Fatal(err)
	}
	for _, loss := range []float64{math.NaN(), math.Inf(1)} {
		list[18].Loss[7] = float32(loss)
		if err := w.Write(list[18:]); err == nil || !strings.Contains(err.Error(), "token 7 of sequence 324 has a loss of") {
			t.Errorf("a loss of %g: %v", loss, err)
		}
	}
	if err := w.Write([]Sequence{{ID: 1, Loss: make([]float32, 3), Rank: make([]uint32, 900)}}); err == nil {
		t.Error("a sequence of 3 tokens was written")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	whole[len(whole)/4] ^= 16
	if err := os.WriteFile(path, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, blockfile.ErrDamaged) {
		t.Errorf("a changed byte: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other")
	b, err := blockfile.Append(other, []byte(`{"sequence":900,"block":18}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Write(0, []byte("nothing of the kind")), b.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(other); !errors.Is(err, blockfile.ErrDamaged) {
		t.Errorf("a block of something else: %v", err)
	}
}
