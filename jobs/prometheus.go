package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"saltern/jobs/metrics"
)

// exporter shows the last step of each training to Prometheus, at /metrics of an address. The first rank has one, where it is asked; nil
// shows nothing.
type exporter struct {
	server   *http.Server
	registry *prometheus.Registry
	address  net.Addr
	job      string

	mu     sync.Mutex
	gauges map[string]*prometheus.GaugeVec // by metric
}

// newExporter listens at an address such as ":9100"; none is asked for where that is empty.
func newExporter(address, job string) (*exporter, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fail(Usage, "--metrics-listen %s: %w; give a free address and port of this machine, such as :9100", address, err)
	}
	e := &exporter{registry: prometheus.NewRegistry(), address: l.Addr(), job: job, gauges: map[string]*prometheus.GaugeVec{}}
	e.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{}))
	e.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go e.server.Serve(l) // until close; what goes wrong with one reader is that reader's
	return e, nil
}

// observe sets the gauges of a training to a record's values.
func (e *exporter) observe(training string, r metrics.Record) {
	if e == nil {
		return
	}
	e.set(training, "step", float64(r.Step))
	e.set(training, "tokens", float64(r.Tokens))
	for key, value := range r.Values {
		e.set(training, key, value)
	}
}

// set is a gauge named saltern_ and the metric's name, with what Prometheus has no letters for as underscores.
func (e *exporter) set(training, metric string, value float64) {
	if math.IsInf(value, 0) {
		value = math.NaN()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	g, ok := e.gauges[metric]
	if !ok {
		g = prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "saltern_" + strings.Map(prometheusLetter, metric), Help: "The last value of " + metric + " in metrics.jsonl's terms.",
		}, []string{"job", "training"})
		if err := e.registry.Register(g); err != nil {
			return // two keys that differ in punctuation alone: the first has the name
		}
		e.gauges[metric] = g
	}
	g.WithLabelValues(e.job, training).Set(value)
}

func prometheusLetter(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

// describe says where the metrics are.
func (e *exporter) describe() string {
	return fmt.Sprintf("metrics for Prometheus: http://%s/metrics", e.address)
}

// close ends what is under way within a second.
func (e *exporter) close() error {
	if e == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := e.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return e.server.Close()
}
