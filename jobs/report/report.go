// Package report turns the outcome of one or several runs into a page to look at: report.html, and the same content as
// report.json for programs.
//
// It draws what it is given. Numbers come from the caller (jobs reads them with jobs/metrics), and so do the findings: nothing
// here judges a result, beyond setting the best value of a column in bold.
//
// A caller fills a [Report] and calls [Report.WriteHTML] and [Report.WriteJSON]. Files by what they hold: plot.go from points
// to positions, ticks.go axes and numbers, place.go where labels go, page.go from a Report to what the template shows, and
// page.html the page itself with its style.
//
// Invariants:
//  1. The page is one file: no script, no font, no request to anywhere; its own Content-Security-Policy forbids them (TestSelfContained).
//  2. Whatever the numbers are, NaN, infinite, none at all, the page is well formed and no NaN reaches a coordinate (TestOddNumbers).
//  3. A run has one colour in the whole report, in the order of the results. Colour is never the only sign: lines are labelled at
//     their ends, and dashed in print and under high contrast (TestColours).
//  4. Labels at line ends never overlap (TestSpread).
//  5. Every chart has its numbers in a table beneath it, and all of them in report.json (TestTables, TestJSON).
package report

import (
	"encoding/json"
	"io"
	"math"
	"time"
)

// Report is everything that the page shows, in its order. Empty parts are left out.
type Report struct {
	Title    string
	When     time.Time
	Device   string // the device's name, "NVIDIA H100"
	Driver   string // the driver's name and version
	Findings []string
	Results  []Result
	Charts   []Chart
	Config   []Row

	// Reproduce is the commands that make this report again, one a line.
	Reproduce string
}

// Row is a line of the configuration summary.
type Row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Result is one run's line in the results table. Zero and NaN mean: not measured.
type Result struct {
	Name        string        // the run's, as in the charts: "SALT"
	Reference   bool          // stands beside the comparison, such as the teacher; never the best of a column
	Loss        float64       // nats per token on held-out data
	Interval    float64       // half the width of the 95% interval of Loss over the seeds
	Seeds       int           // how many runs the numbers are the mean of
	Accuracy    float64       // fraction of next tokens that were the most likely one
	BitsPerByte float64       // on held-out data
	Steps       int           // optimizer steps
	Tokens      int64         // trained on
	FLOPs       float64       // of the whole run, teacher and scoring included
	WallTime    time.Duration // of the whole run
}

// Perplexity returns e to the loss, NaN where there is no loss.
func (r Result) Perplexity() float64 {
	if r.Loss == 0 {
		return math.NaN()
	}
	return math.Exp(r.Loss)
}

// Chart is one picture.
type Chart struct {
	Title  string
	Note   string // a sentence under the title: what to see, how it was measured
	X, Y   string // what the axes show, with the unit
	Series []Series
	Marks  []Mark

	// Focus scales the vertical axis to the curves without their first fifth, whose steep fall would flatten all the rest. The
	// page says that the top is cut off, where it is.
	Focus bool
	Half  bool // as wide as half a page; two in a row stand side by side
}

// Series is one line of a chart.
type Series struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`        // by rising X; a NaN leaves a gap
	Raw    []Point `json:"raw,omitempty"` // drawn faintly behind, such as what Points is the smoothed form of
}

// Point is a point of a line. In JSON it is [x, y], null for what is not finite.
type Point struct{ X, Y float64 }

// Mark is a vertical line through a chart.
type Mark struct {
	X     float64 `json:"x"`
	Label string  `json:"label"` // "teacher leaves"
}

// Smooth returns the exponential moving average of points over about span of them, without the usual bias towards the first.
// Points that are not finite are left out.
func Smooth(points []Point, span int) []Point {
	decay := 1 - 2/(float64(max(span, 1))+1)
	smooth := make([]Point, 0, len(points))
	var sum, weight float64
	for _, p := range points {
		if !p.finite() {
			continue
		}
		sum, weight = sum*decay+p.Y, weight*decay+1
		smooth = append(smooth, Point{p.X, sum / weight})
	}
	return smooth
}

func (p Point) finite() bool { return finite(p.X) && finite(p.Y) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// WriteJSON writes report.json.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r.json())
}
