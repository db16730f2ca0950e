package report

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// comparison is a report with all that several seeds bring along.
func comparison() Report {
	nan := math.NaN()
	loss := Chart{Title: "Loss", X: "step", Y: "loss", Series: []Series{
		{Name: "BASELINE", Points: []Point{{0, 4}, {10, 3}, {20, 2.5}}, Band: []Band{{0, 3.9, 4.1}, {10, 2.9, 3.1}, {20, 2.4, 2.6}}},
		{Name: "SALT", Points: []Point{{0, 4}, {10, 2.8}, {20, 2.3}}, Band: []Band{{0, 3.9, 4.1}, {10, nan, nan}, {20, 2.2, 2.4}}},
	}}
	sweep := Chart{Title: "Sweep", X: "kd_steps", Y: "loss", Ticks: []float64{1, 10, 100}, LogX: true,
		Series: []Series{{Name: "SALT", Bars: true, Points: []Point{{1, 2.4}, {10, 2.3}, {100, 2.5}}, Band: []Band{{1, 2.3, 2.5}, {10, 2.2, 2.4}, {100, nan, nan}}}},
		Levels: []Level{{"BASELINE", 2.5, 2.4, 2.6}}}
	gains := Chart{Title: "Gain", X: "nats", Marks: []Mark{{0, "BASELINE"}}, Rows: []Estimate{
		{Name: "SALT", Label: "SALT", Value: 0.2, Low: 0.11, High: 0.29, Each: []float64{0.19, 0.21, nan}},
		{Name: "RKD", Label: "easy", Group: "RKD", Value: -0.1, Low: nan, High: nan},
		{Name: "RKD", Label: "hard", Group: "RKD", Value: nan},
	}}
	return Report{Title: "t", Cautions: []string{"Two seeds."}, Data: map[string]int{"seeds": 2}, Sections: []Section{
		{Title: "Results", Text: []string{"A paragraph."}, Charts: []Chart{gains}, Tables: []Table{{Title: "At the end", Corner: "Arm", Columns: []string{"Loss", "Gain"},
			Rows: []TableRow{{Name: "BASELINE", Cells: []Cell{{Text: "2.5", Value: 2.5, Low: 2.4, High: 2.6, Detail: "± 0.1"}, {Text: "–", Value: nan, Low: nan, High: nan}}},
				{Name: "SALT", Detail: "kd_steps=10", Cells: []Cell{{Text: "2.3", Value: 2.3, Low: nan, High: nan, Best: true}, {Text: "0", Value: 0, Low: -0.1, High: 0.1}}}}, Note: "A note."}}},
		{Title: "Curves", Charts: []Chart{loss, sweep}},
	}}
}

func TestComparison(t *testing.T) {
	page := html(t, comparison())
	checkSVG(t, page)
	for _, want := range []string{
		"To be read with care", "<li>Two seeds.</li>", "A paragraph.", ">At the end</h3>", `<span class="detail">kd_steps=10</span>`, `<span class="detail">± 0.1</span>`,
		`<td class="best">2.3<span class="hidden"> (best)</span></td>`, `class="band c1"`, `class="level c1"`, `class="bars c2"`, `class="heading"`, `class="estimate"`,
		"0.20 [0.11, 0.29]", "−0.10", "BASELINE stands at 2.500", "3 [2.900, 3.100]", "RKD, hard: –",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, `class="band c2"`) {
		t.Error("a band without two neighbouring points is drawn")
	}
	// Ticks of the swept values, equally far apart as their ratios are.
	ticks := regexp.MustCompile(`<text x="([0-9.]+)"[^>]*>(1|10|100)</text>`).FindAllStringSubmatch(page[strings.LastIndex(page, `class="plot wide"`):strings.LastIndex(page, `class="plot phone"`)], -1)
	if len(ticks) != 3 {
		t.Fatalf("ticks %v", ticks)
	}
	var at [3]float64
	for i := range at {
		at[i], _ = strconv.ParseFloat(ticks[i][1], 64)
	}
	if math.Abs(at[2]-at[1]-(at[1]-at[0])) > 0.15 || at[1] < at[0]+100 {
		t.Errorf("ticks at %v", at)
	}
}

func TestArea(t *testing.T) {
	x, y, nan := axis{hi: 100, to: 100}, axis{hi: 10, from: 10}, math.NaN()
	for _, c := range []struct {
		why  string
		band []Band
		want string
	}{
		{"there along the top and back along the bottom", []Band{{0, 1, 3}, {10, 2, 5}}, "M0 7L10 5L10 8L0 9Z"},
		{"a gap", []Band{{0, 1, 3}, {10, 2, 5}, {20, nan, nan}, {30, 0, 1}, {40, 0, 2}}, "M0 7L10 5L10 8L0 9ZM30 9L40 8L40 10L30 10Z"},
		{"single points have none", []Band{{0, 1, 3}, {10, nan, 3}, {20, 1, 3}}, ""},
		{"nothing", nil, ""},
	} {
		if got := area(c.band, x, y); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	if got := bars([]Band{{10, 1, 3}, {20, nan, 1}}, x, y); got != "M6 9h8M10 9V7M6 7h8" {
		t.Errorf("bars %q", got)
	}
}

// A band may take as much room as the lines do, half on each side; what does not fit is said to be outside.
func TestBandRoom(t *testing.T) {
	c := Chart{Series: []Series{{Name: "a", Points: []Point{{0, 3}, {1, 2}}, Band: []Band{{0, 2.9, 3.1}, {1, 1.9, 2.1}}}}}
	x, y, cut, _ := ranges(c)
	if y.lo > 1.9 || y.hi < 3.1 || beyond(c, x, y, cut) {
		t.Errorf("narrow bands: %+v", y)
	}
	c.Focus, c.Series[0].Band[0] = true, Band{0, -50, 50} // room is made for later bands alone
	if x, y, cut, _ := ranges(c); y.lo < 1.8 || !beyond(c, x, y, cut) {
		t.Errorf("a wide band at the start: %+v", y)
	}
	c.Focus, c.Series[0].Band[1] = false, Band{1, -50, 50}
	x, y, cut, _ = ranges(c)
	if y.lo < 1.3 || y.hi > 3.7 || !beyond(c, x, y, cut) {
		t.Errorf("wide bands: %+v", y)
	}
	if page := html(t, Report{Charts: []Chart{c}}); !strings.Contains(page, "Some bands reach beyond the picture.") {
		t.Error("it is not said that bands are cut")
	}
}

func TestOddEstimates(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		why   string
		rows  []Estimate
		marks []Mark
		empty bool
	}{
		{"no value", []Estimate{{Label: "a", Value: nan, Low: 1, High: 2}, {Value: inf}}, nil, true},
		{"one at zero", []Estimate{{Label: "a"}}, []Mark{{0, "m"}}, false},
		{"the largest", []Estimate{{Label: "a", Value: math.MaxFloat64, Low: -math.MaxFloat64, High: inf}, {Label: "b", Value: -math.MaxFloat64}}, nil, false},
		{"half an interval", []Estimate{{Label: "a", Value: 1, Low: -inf, High: 2, Each: []float64{nan, inf, 1}}}, []Mark{{nan, "m"}}, false},
		{"a long name", []Estimate{{Label: strings.Repeat("long ", 40), Group: strings.Repeat("group ", 60), Value: 1, Low: 0, High: 2}}, nil, false},
	} {
		r := Report{Sections: []Section{{Title: "s", Charts: []Chart{{Title: "t", X: "x", Rows: c.rows, Marks: c.marks}}}}}
		page := html(t, r)
		checkSVG(t, page)
		body := page[strings.Index(page, "<main>"):]
		if regexp.MustCompile(`NaN|Inf|∞`).MatchString(body) {
			t.Errorf("%s: NaN or Inf on the page", c.why)
		}
		if got := strings.Contains(body, "no numbers for this picture"); got != c.empty {
			t.Errorf("%s: said to be empty: %v", c.why, got)
		}
	}
}

// Lines of one chart have colours of their own, however many names there are in the report.
func TestColoursBeside(t *testing.T) {
	var r Report
	for part := range 4 {
		c := Chart{Series: []Series{{Name: "BASELINE"}}}
		for i := range colours - 1 {
			c.Series = append(c.Series, Series{Name: strconv.Itoa(part*colours + i)})
		}
		r.Charts = append(r.Charts, c)
	}
	style, _ := r.styles()
	for _, c := range r.Charts {
		seen := map[string]string{}
		for _, s := range c.Series {
			colour := style[s.Name][:2]
			if seen[colour] != "" {
				t.Errorf("%s and %s are both %s", seen[colour], s.Name, colour)
			}
			seen[colour] = s.Name
		}
	}
}

func TestComparisonJSON(t *testing.T) {
	var b strings.Builder
	if err := comparison().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Cautions []string
		Data     map[string]int
		Sections []struct {
			Tables []struct {
				Rows []struct {
					Cells []struct{ Value, Low, High *float64 }
				}
			}
			Charts []struct {
				Series []struct{ Band [][3]*float64 }
				Rows   []struct {
					Label            string
					Value, Low, High *float64
					Each             []*float64
				}
				Levels []struct{ Value, Low *float64 }
			}
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	cells := got.Sections[0].Tables[0].Rows
	if got.Data["seeds"] != 2 || len(got.Cautions) != 1 || *cells[0].Cells[0].High != 2.6 || cells[0].Cells[1].Value != nil || *cells[1].Cells[1].Value != 0 {
		t.Errorf("%s", b.String())
	}
	rows := got.Sections[0].Charts[0].Rows
	if *rows[0].Low != 0.11 || rows[0].Each[2] != nil || rows[1].Low != nil || rows[2].Value != nil {
		t.Errorf("%+v", rows)
	}
	charts := got.Sections[1].Charts
	if band := charts[0].Series[1].Band; *band[0][2] != 4.1 || band[1][1] != nil || *charts[1].Levels[0].Low != 2.4 {
		t.Errorf("%+v", charts)
	}
}

func TestDigits(t *testing.T) {
	for half, want := range map[float64]int{0.0089: 3, 0.0021: 4, 0.013: 3, 0.031: 2, 0.5: 1, 3: 1, 100: 1, 1e-9: 4, 0: 4} {
		if got := Digits(half); got != want {
			t.Errorf("%g: %d digits, want %d", half, got, want)
		}
	}
	if Digits(math.NaN()) != 4 || Digits(math.Inf(1)) != 4 {
		t.Error("no interval")
	}
}
