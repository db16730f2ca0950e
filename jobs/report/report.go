// Package report turns the outcome of one or several runs into a page to look at: report.html, and the same content as
// report.json for programs.
//
// It draws what it is given. Numbers come from the caller (jobs reads them with jobs/metrics), and so do the findings: nothing
// here judges a result, beyond setting the best value of a column in bold.
//
// A caller fills a [Report] and calls [Report.WriteHTML] and [Report.WriteJSON]. Files by what they hold: plot.go from points
// to positions, rows.go the same for estimates one below the other, ticks.go axes and numbers, place.go where labels go, page.go
// from a Report to what the template shows, table.go its tables, and page.html the page itself with its style.
//
// Invariants:
//  1. The page is one file: no script, no font, no request to anywhere; its own Content-Security-Policy forbids them (TestSelfContained).
//  2. Whatever the numbers are, NaN, infinite, none at all, the page is well formed and no NaN reaches a coordinate (TestOddNumbers).
//  3. A run has one colour in the whole report, in the order of the results, and shares it with no line beside it (TestColours,
//     TestColoursBeside). Colour is never the only sign: lines are labelled at their ends, and dashed in print and under high contrast.
//  4. Labels at line ends never overlap (TestSpread).
//  5. What does not fit into a picture is said to be outside (TestPage, TestBandRoom).
//  6. Every chart has its numbers in a table beneath it, and all of them in report.json (TestTables, TestJSON).
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
	Cautions []string // what limits the findings
	Results  []Result
	Charts   []Chart // under the heading "Curves"
	Sections []Section
	Config   []Row

	// Reproduce is the commands that make this report again, one a line.
	Reproduce string

	// Data is what the report was made from, for report.json alone. It must have a form in JSON.
	Data any
}

// Section is a part of the page with a heading of its own.
type Section struct {
	Title  string
	Text   []string // paragraphs
	Tables []Table
	Charts []Chart
}

// Table is free in its columns, where [Result] is not.
type Table struct {
	Title   string
	Corner  string // heads the rows' names
	Columns []string
	Rows    []TableRow
	Note    string // below it
}

// TableRow is one line. A name that a chart also has carries the chart's colour.
type TableRow struct {
	Name      string
	Detail    string // in small type under the name
	Reference bool   // stands beside the comparison
	Cells     []Cell
}

// Cell is a number as people read it, and as programs do: NaN where there is none.
type Cell struct {
	Text, Detail     string // Detail stands in small type under Text
	Best             bool   // of its column, beyond doubt: in bold
	Value, Low, High float64
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

// Chart is one picture: lines, or estimates one below the other.
type Chart struct {
	Title  string
	Note   string // a sentence under the title: what to see, how it was measured
	X, Y   string // what the axes show, with the unit
	Series []Series
	Rows   []Estimate // in place of Series; only X has an axis then
	Levels []Level
	Marks  []Mark

	Ticks []float64 // what the horizontal axis names; nil: round numbers
	LogX  bool      // equal ratios are equally far apart; where any X is not above 0 this is ignored

	// Focus scales the vertical axis to the curves without their first fifth, whose steep fall would flatten all the rest. The
	// page says that the top is cut off, where it is.
	Focus bool
	Half  bool // as wide as half a page; two in a row stand side by side
}

// Series is one line of a chart.
type Series struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`         // by rising X; a NaN leaves a gap
	Raw    []Point `json:"raw,omitempty"`  // drawn faintly behind, such as what Points is the smoothed form of
	Band   []Band  `json:"band,omitempty"` // by rising X; a NaN leaves a gap
	Bars   bool    `json:"-"`              // Band is drawn as an error bar at each X, not as an area
}

// Band is how far a line's value may be off at an X. In JSON it is [x, low, high].
type Band struct{ X, Low, High float64 }

// Level is a horizontal line through a chart, with its interval.
type Level struct {
	Name         string // gives the colour, as a Series' does
	Y, Low, High float64
}

// Estimate is a dot with its interval, and the single values behind it.
type Estimate struct {
	Name             string // gives the colour, as a Series' does
	Label            string // what stands beside it
	Group            string // a heading above the first of those that share it
	Value, Low, High float64
	Each             []float64
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

func (b Band) finite() bool { return finite(b.X) && finite(b.Low) && finite(b.High) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// WriteJSON writes report.json.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r.json())
}
