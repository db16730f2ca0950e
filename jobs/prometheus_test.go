package jobs

import (
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"saltern/jobs/metrics"
)

func TestExporter(t *testing.T) {
	e, err := newExporter("127.0.0.1:0", "go-source")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, v := range []float64{5.5, 4.25} {
		e.observe("SALT", metrics.Record{Step: 7, Tokens: 700, Values: map[string]float64{metrics.TrainLoss: v, "auto/w.0": math.Inf(1)}})
	}
	e.observe("SLM", metrics.Record{Step: 9, Values: map[string]float64{metrics.TrainLoss: 3, "train_loss": 8}})
	r, err := http.Get("http://" + e.address.String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`saltern_step{job="go-source",training="SALT"} 7`, `saltern_tokens{job="go-source",training="SALT"} 700`,
		`saltern_train_loss{job="go-source",training="SALT"} 4.25`, `saltern_train_loss{job="go-source",training="SLM"} 3`,
		`saltern_auto_w_0{job="go-source",training="SALT"} NaN`, "# TYPE saltern_step gauge", "go_goroutines ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if _, err := newExporter(e.address.String(), ""); KindOf(err) != Usage || !strings.Contains(err.Error(), "give a free address") {
		t.Errorf("an address that is taken: %v", err)
	}
	none, err := newExporter("", "")
	if err != nil || none != nil {
		t.Error("an exporter that nobody asked for")
	}
	none.observe("SALT", metrics.Record{})
	if err := none.close(); err != nil {
		t.Error(err)
	}
}
