package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sample is a report as a comparison makes it: noisy curves, invented numbers.
func sample() Report {
	rng := rand.New(rand.NewPCG(1, 2))
	const steps, nKD = 800, 200
	curve := func(end, rate, bump float64) (held, flops, train []Point) {
		for s := 1; s <= steps; s++ {
			t := float64(s) / steps
			loss := end + 2.1*math.Exp(-rate*t) + 4.2*math.Exp(-45*t) - bump*math.Exp(-2*t)*min(1, t*8)
			x := float64(s)
			train = append(train, Point{x, loss + 0.12*rng.NormFloat64()})
			if s%20 == 0 {
				held = append(held, Point{x, loss + 0.012*rng.NormFloat64()})
				cost := x * 1.45e12
				if bump > 0 {
					cost += min(x, nKD) * 0.31e12
				}
				flops = append(flops, Point{cost, held[len(held)-1].Y})
			}
		}
		return
	}
	r := Report{
		Title: "SALT against plain training: a 5.9M student and a 0.36M teacher", When: time.Date(2026, 11, 24, 16, 40, 0, 0, time.UTC),
		Device: "llvmpipe (LLVM 19.1.7, 256 bits)", Driver: "Mesa 25.0.7, Vulkan 1.4",
		Findings: []string{
			"SALT ends at a held-out loss of 2.224, plain training at 2.274: 0.050 lower at equal steps, with 5% more computation.",
			"SALT reaches plain training's final loss at step 672 of 800 (84%), which saves 11% of its FLOPs, the teacher's included.",
			"One seed: between seeds the loss differs by about 0.027, half of what was gained.",
		},
		Results: []Result{
			{Name: "SLM", Reference: true, Loss: 2.338, Accuracy: 0.466, BitsPerByte: 1.021, Steps: 1500, Tokens: 6144000, FLOPs: 1.33e13, WallTime: 4 * time.Minute},
			{Name: "LLM BASELINE", Loss: 2.274, Accuracy: 0.4812, BitsPerByte: 0.993, Steps: steps, Tokens: 3276800, FLOPs: 1.16e15, WallTime: 754 * time.Second},
			{Name: "LLM SALT", Loss: 2.224, Accuracy: 0.4903, BitsPerByte: 0.971, Steps: steps, Tokens: 3276800, FLOPs: 1.222e15, WallTime: 801 * time.Second},
			{Name: "LLM RKD", Loss: 2.227, Interval: 0.013, Seeds: 3, Accuracy: 0.4899, BitsPerByte: 0.972, Steps: steps, Tokens: 3276800, FLOPs: 1.408e15, WallTime: 899 * time.Second},
		},
		Config: []Row{
			{"Student", "6 layers, width 256, 4 heads (head size 64), vocabulary 4096: 5.9M parameters"},
			{"Teacher", "2 layers, width 64, trained 1500 steps: 0.36M parameters"},
			{"Data", "the Go distribution's .go files, byte-level BPE; sequences of 256 tokens, 16 a step"},
			{"Schedule", "AdamW, warm-up 40 steps, cosine from 6e-4 to 6e-5; n_KD = 200, w = 0.5, T = 1"},
		},
		Reproduce: "saltern prepare job.toml\nsaltern compare job.toml --seeds 1 --out runs/compare",
	}
	mark := []Mark{{nKD, "teacher leaves (n_KD)"}}
	heldChart := Chart{Title: "Held-out loss against steps", X: "step", Y: "loss, nats per token", Focus: true, Marks: mark,
		Note: "Measured on 64 sequences that no run trained on, every 20 steps."}
	flopChart := Chart{Title: "Held-out loss against computation", X: "FLOPs, the teacher's included", Y: "loss, nats per token", Focus: true,
		Note: "The same losses, each run charged with all that it computed."}
	trainChart := Chart{Title: "Training loss", X: "step", Y: "loss, nats per token", Focus: true, Marks: mark,
		Note: "Averaged over about 40 steps; single steps behind it."}
	for _, c := range []struct {
		name            string
		end, rate, bump float64
	}{{"LLM BASELINE", 1.97, 1.95, 0}, {"LLM SALT", 1.98, 2.05, 0.22}, {"LLM RKD", 1.975, 2.02, 0.24}} {
		held, flops, train := curve(c.end, c.rate, c.bump)
		heldChart.Series = append(heldChart.Series, Series{Name: c.name, Points: held})
		flopChart.Series = append(flopChart.Series, Series{Name: c.name, Points: flops})
		trainChart.Series = append(trainChart.Series, Series{Name: c.name, Points: Smooth(train, 40), Raw: train})
	}
	lr := Chart{Title: "Learning rate", X: "step", Y: "learning rate", Half: true, Series: []Series{{Name: "all runs"}}}
	kd := Chart{Title: "Weight of the teacher", X: "step", Y: "w", Half: true, Marks: mark, Series: []Series{{Name: "LLM SALT"}, {Name: "LLM RKD"}}}
	for s := 1.0; s <= steps; s++ {
		rate := 6e-4 * min(s/40, 0.1+0.45*(1+math.Cos(math.Pi*max(0, s-40)/(steps-40))))
		w := 0.5
		if s > nKD {
			w = 0
		}
		lr.Series[0].Points = append(lr.Series[0].Points, Point{s, rate})
		kd.Series[0].Points = append(kd.Series[0].Points, Point{s, w})
		kd.Series[1].Points = append(kd.Series[1].Points, Point{s, 0.5})
	}
	r.Charts = []Chart{heldChart, flopChart, trainChart, lr, kd}
	return r
}

func html(t *testing.T, r Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Nothing is fetched: no address that a browser would follow, no script, and a policy that forbids both.
func TestSelfContained(t *testing.T) {
	r := sample()
	r.Title = `<script>alert("x")</script>`
	r.Findings = append(r.Findings, `<img src="http://example.org/x.png">`)
	r.Charts[0].Series[0].Name = `"><script>`
	r.Charts[0].Marks[0].Label = `</text><style>@import "http://example.org"</style>`
	page := html(t, r)
	for _, forbidden := range []string{"<script", "<link", "<img", "<iframe", "<object", "xmlns"} {
		if strings.Contains(page, forbidden) {
			t.Errorf("the page has %q", forbidden)
		}
	}
	if strings.Count(page, "<style") != 1 || strings.Contains(pageText, "@import") || strings.Contains(pageText, "http:") || strings.Contains(pageText, "https:") {
		t.Error("the style comes from elsewhere")
	}
	if attr := regexp.MustCompile(`<[a-z][^>]*\s(src|srcset|href|xlink:href|action|data|poster|on[a-z]+)=`).FindString(page); attr != "" {
		t.Errorf("an element refers to something: %s", attr)
	}
	for _, m := range regexp.MustCompile(`url\([^)]*\)`).FindAllString(page, -1) {
		if !strings.HasPrefix(m, "url(#") {
			t.Errorf("%s", m)
		}
	}
	if !strings.Contains(page, `content="default-src 'none'; style-src 'unsafe-inline'"`) {
		t.Error("no Content-Security-Policy")
	}
}

var svgs = regexp.MustCompile(`(?s)<svg.*?</svg>`)

// checkSVG verifies that every picture is well formed XML with finite coordinates and ids that nothing else has.
func checkSVG(t *testing.T, page string) {
	t.Helper()
	ids := map[string]bool{}
	numbers := regexp.MustCompile(`^[MLHVZhvm0-9 .-]*$`)
	for _, svg := range svgs.FindAllString(page, -1) {
		dec := xml.NewDecoder(strings.NewReader(svg))
		for {
			token, err := dec.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("not well formed: %v\n%.400s", err, svg)
			}
			element, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			for _, a := range element.Attr {
				switch a.Name.Local {
				case "id":
					if ids[a.Value] {
						t.Errorf("id %s is there twice", a.Value)
					}
					ids[a.Value] = true
				case "d", "x", "y", "cx", "cy", "width", "height", "viewBox":
					if !numbers.MatchString(a.Value) || a.Value == "" {
						t.Errorf("<%s %s=%q>", element.Name.Local, a.Name.Local, a.Value)
					}
				}
			}
		}
	}
	for _, m := range regexp.MustCompile(`aria-labelledby="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		for _, id := range strings.Fields(m[1]) {
			if !strings.Contains(page, `id="`+id+`"`) {
				t.Errorf("nothing has the id %s", id)
			}
		}
	}
}

func TestPage(t *testing.T) {
	page := html(t, sample())
	checkSVG(t, page)
	for _, want := range []string{
		"<h1>SALT against plain training", `<time datetime="2026-11-24T16:40:00Z">24 November 2026, 16:40 UTC</time>`, "llvmpipe", "Mesa 25.0.7",
		"SALT reaches plain training&#39;s final loss", `<td class="best">2.2240<span class="hidden"> (best)</span></td>`, "2.2270 ± 0.0130", "1.22 × 10¹⁵",
		"13 min 21 s", "teacher leaves (n_KD)", "The steep start lies above", "prefers-color-scheme: dark", "@media print", "saltern compare job.toml",
		`<tr class="reference"><th scope="row">SLM</th>`, "FLOPs, the teacher&#39;s included, × 10¹⁵",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, `role="img"`); n != 2*5 {
		t.Errorf("%d pictures, want each of 5 twice", n)
	}
	if n := strings.Count(page, "<details>"); n != 5 {
		t.Errorf("%d tables under charts, want 5", n)
	}
}

func TestOddNumbers(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		why    string
		points []Point
		marks  []Mark
		empty  bool
	}{
		{"no points", nil, nil, true},
		{"only NaN", []Point{{1, nan}, {nan, 2}, {inf, 1}}, []Mark{{1, "m"}}, true},
		{"one point", []Point{{5, 2}}, []Mark{{5, "m"}}, false},
		{"one point at zero", []Point{{0, 0}}, nil, false},
		{"NaN in the middle and at the end", []Point{{1, 3}, {2, nan}, {3, 2}, {4, inf}, {5, 1}, {6, -inf}}, nil, false},
		{"constant", []Point{{1, 2}, {2, 2}, {3, 2}}, nil, false},
		{"the largest numbers", []Point{{-math.MaxFloat64, math.MaxFloat64}, {math.MaxFloat64, -math.MaxFloat64}}, nil, false},
		{"the smallest", []Point{{0, math.SmallestNonzeroFloat64}, {1e-320, 0}}, nil, false},
		{"neighbouring floats", []Point{{1, 1}, {math.Nextafter(1, 2), math.Nextafter(1, 2)}}, nil, false},
		{"X goes back", []Point{{3, 1}, {2, 2}, {1, 3}}, nil, false},
		{"a spike", []Point{{1, 1e300}, {2, 2}, {3, 1}}, []Mark{{nan, "m"}, {inf, "m"}, {-7, "outside"}}, false},
	} {
		t.Run(c.why, func(t *testing.T) {
			for _, focus := range []bool{false, true} {
				r := Report{Title: "t", Results: []Result{{Name: "run", Loss: nan, FLOPs: inf, Accuracy: nan, BitsPerByte: inf}, {Name: "b", Loss: 1e300}}}
				r.Charts = []Chart{{Title: "t", X: "x", Y: "y", Focus: focus, Marks: c.marks, Series: []Series{{Name: "run", Points: c.points, Raw: c.points}, {Name: "empty"}}}}
				page := html(t, r)
				checkSVG(t, page)
				body := page[strings.Index(page, "<main>"):]
				if regexp.MustCompile(`NaN|Inf|∞`).MatchString(body) {
					t.Errorf("NaN or Inf on the page")
				}
				if got := strings.Contains(body, "no numbers for this picture"); got != c.empty {
					t.Errorf("said to be empty: %v", got)
				}
				if !c.empty && !strings.Contains(body, `class="path" clip-path`) {
					t.Error("no line")
				}
				if err := r.WriteJSON(io.Discard); err != nil {
					t.Errorf("JSON: %v", err)
				}
			}
		})
	}
	checkSVG(t, html(t, Report{}))
}

func TestJSON(t *testing.T) {
	r := sample()
	r.Charts[0].Series[0].Points[1].Y = math.NaN()
	r.Results[0].BitsPerByte = 0
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Title   string
		When    time.Time
		Results []map[string]any
		Charts  []struct {
			Series []struct {
				Name   string
				Points [][2]*float64
				Raw    [][2]*float64
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Title != r.Title || !got.When.Equal(r.When) || got.Results[0]["bits_per_byte"] != nil || got.Results[2]["loss"] != 2.224 ||
		got.Results[2]["perplexity"] != math.Exp(2.224) || got.Results[2]["seconds"] != 801.0 {
		t.Errorf("%+v", got.Results)
	}
	for i, c := range r.Charts {
		for j, s := range c.Series {
			if len(got.Charts[i].Series[j].Points) != len(s.Points) || len(got.Charts[i].Series[j].Raw) != len(s.Raw) {
				t.Errorf("%s, %s: not all points", c.Title, s.Name)
			}
		}
	}
	if p := got.Charts[0].Series[0].Points; *p[0][0] != 20 || p[1][1] != nil {
		t.Errorf("points %v", p[:2])
	}
}

// The palette as the style has it: text in these colours must be readable, and a run keeps its colour everywhere.
func TestColours(t *testing.T) {
	luminance := func(hex string) float64 {
		v, err := strconv.ParseUint(hex[1:], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		linear := func(c uint64) float64 {
			if f := float64(c&255) / 255; f > 0.04045 {
				return math.Pow((f+0.055)/1.055, 2.4)
			} else {
				return f / 12.92
			}
		}
		return 0.2126*linear(v>>16) + 0.7152*linear(v>>8) + 0.0722*linear(v)
	}
	colour := regexp.MustCompile(`--(\w+): (#[0-9a-f]{6})`)
	schemes := 0
	for _, block := range regexp.MustCompile(`(?s):root \{.*?\}`).FindAllString(pageText, -1) {
		found := map[string]string{}
		for _, m := range colour.FindAllStringSubmatch(block, -1) {
			found[m[1]] = m[2]
		}
		if found["c6"] == "" {
			continue // print changes the paper alone
		}
		schemes++
		paper := luminance(found["paper"])
		for _, name := range []string{"ink", "soft", "c1", "c2", "c3", "c4", "c5", "c6"} {
			l := luminance(found[name])
			if contrast := (max(l, paper) + 0.05) / (min(l, paper) + 0.05); contrast < 4.5 {
				t.Errorf("--%s %s has a contrast of %.2f with the paper", name, found[name], contrast)
			}
		}
	}
	if schemes != 2 {
		t.Errorf("%d colour schemes", schemes)
	}

	style, _ := sample().styles()
	want := map[string]string{"LLM BASELINE": "c1", "LLM SALT": "c2", "LLM RKD": "c3", "all runs": "c4"}
	if !reflect.DeepEqual(style, want) {
		t.Errorf("%v, want %v", style, want)
	}
	var many Report
	for i := range 14 {
		many.Charts = append(many.Charts, Chart{Series: []Series{{Name: strconv.Itoa(i)}}})
	}
	if style, _ := many.styles(); style["5"] != "c6" || style["6"] != "c1 again" {
		t.Errorf("%v", style)
	}
}

func TestTables(t *testing.T) {
	held := makeNumbers(sample().Charts[0])
	if len(held.Rows) != tableRows || len(held.Head) != 4 || held.All != 120 || held.Rows[0][0] != "20" || held.Rows[tableRows-1][0] != "800" {
		t.Errorf("%d rows, head %v, of %d, %v", len(held.Rows), held.Head, held.All, held.Rows)
	}
	flops := makeNumbers(sample().Charts[1])
	if len(flops.Rows) != 3*tableRows/2 || !slices.Equal(flops.Head, []string{"Line", "FLOPs, the teacher's included", "loss, nats per token"}) {
		t.Errorf("%d rows, head %v", len(flops.Rows), flops.Head)
	}
	one := makeNumbers(Chart{X: "x", Series: []Series{{Name: "a", Points: []Point{{1, 2}, {2, 3}}}, {Name: "b", Points: []Point{{2, 4}}}}})
	if want := [][]string{{"1", "2", "–"}, {"2", "3", "4"}}; !reflect.DeepEqual(one.Rows, want) || one.All != 0 {
		t.Errorf("%v", one)
	}
}

func TestSmooth(t *testing.T) {
	if got := Smooth([]Point{{1, 2}, {2, math.NaN()}, {3, 2}, {4, 2}}, 5); !reflect.DeepEqual(got, []Point{{1, 2}, {3, 2}, {4, 2}}) {
		t.Errorf("a constant became %v", got)
	}
	// span 3: each older point weighs half. (4 + 2/2) / 1.5
	if got := Smooth([]Point{{1, 2}, {2, 4}}, 3); math.Abs(got[1].Y-5/1.5) > 1e-12 {
		t.Errorf("%v", got)
	}
	if got := Smooth([]Point{{1, 2}, {2, 4}}, 0); got[1].Y != 4 {
		t.Errorf("span 0: %v", got)
	}
}
