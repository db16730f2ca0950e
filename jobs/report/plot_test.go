package report

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		n := rng.IntN(12)
		want := make([]float64, n)
		for i := range want {
			want[i] = 20 + 300*rng.Float64()
			if rng.IntN(3) == 0 {
				want[i] = 300 // several at one place, at the edge
			}
		}
		got := spread(want, 15, 20, 320)
		if len(got) != n {
			t.Fatalf("%d labels of %d", len(got), n)
		}
		for i := range got {
			if got[i] < 20-1e-9 || got[i] > 320+1e-9 {
				t.Fatalf("%v beyond the edges", got)
			}
			for j := range i {
				if math.Abs(got[i]-got[j]) < 15-1e-9 {
					t.Fatalf("%v: labels %d and %d overlap", got, j, i)
				}
				if want[i] < want[j] && got[i] > got[j] {
					t.Fatalf("%v for %v: order changed", got, want)
				}
			}
		}
	}
	if got := spread([]float64{100, 102}, 15, 0, 300); got[0] != 93.5 || got[1] != 108.5 {
		t.Errorf("two labels %v, want them to give way alike", got)
	}
	if got := spread([]float64{100, 200}, 15, 0, 300); got[0] != 100 || got[1] != 200 {
		t.Errorf("labels with room moved: %v", got)
	}
	if got := spread(make([]float64, 30), 15, 0, 300); got != nil {
		t.Errorf("30 labels in room for 21: %v", got)
	}
}

func TestRows(t *testing.T) {
	row, n := rows([][2]float64{{50, 90}, {0, 40}, {30, 60}, {95, 100}}, 2)
	if n != 2 || row[0] != 0 || row[1] != 0 || row[2] != 1 || row[3] != 0 {
		t.Errorf("rows %v of %d", row, n)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		n      int
		want   string
		power  int
	}{
		{0, 800, 9, "0 100 200 300 400 500 600 700 800", 0},
		{2.16, 3.35, 6, "2.2 2.4 2.6 2.8 3.0 3.2", 0},
		{0, 208000, 5, "0 50\u202f000 100\u202f000 150\u202f000 200\u202f000", 0},
		{0, 1.22e15, 6, "0.0 0.2 0.4 0.6 0.8 1.0 1.2", 15},
		{0, 6e-4, 3, "0 2 4 6", -4},
		{-1, 1, 4, "−1.0 −0.5 0.0 0.5 1.0", 0},
		{3, 3, 4, "", 0},
		{1, math.Nextafter(1, 2), 5, "", 0},
	} {
		marks, power := axis{lo: c.lo, hi: c.hi, to: 100}.marks(c.n)
		var labels []string
		for _, m := range marks {
			labels = append(labels, m.Label)
		}
		if got := strings.Join(labels, " "); got != c.want || power != c.power {
			t.Errorf("[%g, %g]: %q, 10^%d; want %q, 10^%d", c.lo, c.hi, got, power, c.want, c.power)
		}
	}
}

func TestPath(t *testing.T) {
	x, y := axis{hi: 100, to: 100}, axis{hi: 10, from: 10}
	nan := math.NaN()
	for _, c := range []struct {
		why    string
		points []Point
		want   string
	}{
		{"plain", []Point{{0, 0}, {10, 5}, {20, 10}}, "M0 10L10 5L20 0"},
		{"a gap", []Point{{0, 0}, {10, 5}, {20, nan}, {30, 1}, {40, 2}}, "M0 10L10 5M30 9L40 8"},
		{"single points are dots", []Point{{0, 0}, {10, nan}, {20, 5}}, "M0 10h0M20 5h0"},
		{"one column: first, lowest, highest, last", []Point{{5, 5}, {5.1, 6}, {5.2, 1}, {5.3, 3}, {5.4, 9}, {5.5, 4}, {5.6, 5}}, "M5 5L5.2 9L5.4 1L5.6 5"},
		{"far above", []Point{{0, 1e9}, {10, 5}}, "M0 -10000L10 5"},
		{"nothing", []Point{{nan, 1}}, ""},
	} {
		if got := path(c.points, x, y); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	long := make([]Point, 200_000)
	for i := range long {
		long[i] = Point{float64(i) / 2000, rand.Float64()}
	}
	if got := strings.Count(path(long, x, y), "L"); got > 4*101 {
		t.Errorf("%d points drawn in 100 columns", got)
	}
}

func TestFocus(t *testing.T) {
	c := Chart{Focus: true, Series: []Series{{Name: "a", Points: []Point{{1, 9}, {50, 3}, {100, 2}}}}}
	if _, y, cut, _ := ranges(c); !cut || y.hi > 3.2 || y.lo > 2 {
		t.Errorf("%+v, cut %v", y, cut)
	}
	c.Series[0].Points[0].Y = 3.01 // nothing steep: nothing to cut
	if _, y, cut, _ := ranges(c); cut || y.hi < 3.01 {
		t.Errorf("%+v, cut %v", y, cut)
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{short(2.2241), "2.224"},
		{short(12.345), "12.35"},
		{short(800), "800"},
		{short(208000), "208\u202f000"},
		{short(1.16e15), "1.16 × 10¹⁵"},
		{short(9.999e-5), "1.00 × 10⁻⁴"},
		{short(-0.5), "−0.5000"},
		{short(0), "0"},
		{short(math.NaN()), "–"},
		{count(812), "812"},
		{count(3276800), "3.28 M"},
		{count(999_999), "1 M"},
		{duration(754 * time.Second), "12 min 34 s"},
		{duration(2*time.Hour + 5*time.Minute), "2 h 05 min"},
		{duration(1500 * time.Millisecond), "1.5 s"},
		{duration(100 * time.Hour), "4 d 04 h"},
		{fit("LLM BASELINE", 10, 50), "LLM BA…"},
		{fit("LLM", 10, 50), "LLM"},
		{grouped(-0.001, 2), "0.00"},
		{times10(-12), "10⁻¹²"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
