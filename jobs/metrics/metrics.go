// Package metrics keeps a run's measurements in metrics.jsonl, one JSON object a line, so that a run that was stopped and
// resumed leaves the file of one that never stopped, timings apart.
//
// [Writer] keeps the same beside it for TensorBoard, in [EventsName]: tensorboard --logdir runs.
//
// What is measured and when is decided in jobs; pictures of it are made in jobs/report.
//
//	{"step":120,"tokens":983040,"train/loss":4.8123,"lr":0.0006,"grad_norm":0.91,"tokens_per_sec":26300,"seconds":37.4}
//
// The order of use: [Open] with the step that the run goes on from, [Writer.Write] at each step, [Writer.Sync] before each
// checkpoint; [Read] afterwards.
//
// Invariants:
//  1. step, tokens, then the named keys in the order of [Keys], then others by name: files compare by text (TestLine).
//  2. Each line is one write to the end of the file; a crash tears at most the last line, which [Open] removes (TestOpenTorn).
//  3. Steps never go down within a file, so what a resumed run does again is a tail and can be cut off (TestResumeEqualsUninterrupted).
//     Cutting cannot bring lines back: a step's lines must be written and synced before the checkpoint of that step.
//  4. JSON has no word for infinities and NaN: they are written as null and read as NaN (TestLine).
package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Name is the file's name within a run's folder.
const Name = "metrics.jsonl"

// The keys that every run uses where it has them. Where ranks train apart, what is of a step is of rank 0's share of it; losses and tokens at
// the end of a round are of all ranks.
const (
	TrainLoss    = "train/loss"     // nats per token, of the objective's own data term (NLL)
	ValLoss      = "val/loss"       // nats per token on held-out data
	ValPrefix    = "val/prefix"     // nats per token, of held-out text after a beginning that is read both ways
	ValSpan      = "val/span"       // nats per token, of spans taken out of held-out text
	Predicted    = "train/tokens"   // that the step's loss is the mean of, where not every token is predicted
	KDLoss       = "train/kd_loss"  // nats per token, KL from the teacher
	KDWeight     = "kd_weight"      // w, the teacher's share of the loss
	LabelWait    = "label_wait"     // seconds of the last step that students waited for soft labels of other ranks, on average
	LR           = "lr"             // learning rate
	GradNorm     = "grad_norm"      // before clipping
	LossScale    = "loss_scale"     // of float16 training
	Skipped      = "skipped"        // steps skipped so far
	TokensPerSec = "tokens_per_sec" // over the last step
	MFU          = "mfu"            // model FLOP/s of the last step as a part of the device's best matrix product
	SentBytes    = "sent_bytes"     // so far by rank 0 to other ranks, counted for each of them, of gradients or outer gradients
	FLOPs        = "flops"          // spent so far by the whole run, its teacher included
	CheckSeconds = "check_seconds"  // that the check of the devices after the step took, where there was one and all were right
	Seconds      = "seconds"        // of wall clock since the run began, over all its restarts
)

// Keys lists the keys above in the order in which a line has them.
func Keys() []string {
	return []string{TrainLoss, ValLoss, ValPrefix, ValSpan, Predicted, KDLoss, KDWeight, LabelWait, LR, GradNorm, LossScale, Skipped, TokensPerSec, MFU, SentBytes, FLOPs, CheckSeconds, Seconds}
}

// Record is one line: what was measured at a step.
type Record struct {
	Step   int   // optimizer steps done
	Tokens int64 // trained on so far
	Values map[string]float64
}

// MarshalJSON writes the record with its keys in their order.
func (r Record) MarshalJSON() ([]byte, error) {
	b := fmt.Appendf(nil, `{"step":%d,"tokens":%d`, r.Step, r.Tokens)
	add := func(key string) {
		name, _ := json.Marshal(key) // a string always marshals
		b = append(append(append(b, ','), name...), ':')
		if v := r.Values[key]; math.IsNaN(v) || math.IsInf(v, 0) {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		}
	}
	known := Keys()
	for _, key := range known {
		if _, ok := r.Values[key]; ok {
			add(key)
		}
	}
	var others []string
	for key := range r.Values {
		if !slices.Contains(known, key) {
			others = append(others, key)
		}
	}
	slices.Sort(others)
	for _, key := range others {
		add(key)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads a line. Values that are not numbers are left out, so that newer runs may add some.
func (r *Record) UnmarshalJSON(line []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return err
	}
	step, ok := raw["step"]
	if !ok {
		return errors.New("it has no step")
	}
	if err := json.Unmarshal(step, &r.Step); err != nil {
		return fmt.Errorf("its step is %s", step)
	}
	if tokens, ok := raw["tokens"]; ok {
		if err := json.Unmarshal(tokens, &r.Tokens); err != nil {
			return fmt.Errorf("its tokens are %s", tokens)
		}
	}
	r.Values = make(map[string]float64, len(raw))
	for key, text := range raw {
		if key == "step" || key == "tokens" {
			continue
		}
		if bytes.Equal(text, []byte("null")) {
			r.Values[key] = math.NaN()
		} else if v, err := strconv.ParseFloat(string(text), 64); err == nil {
			r.Values[key] = v
		}
	}
	return nil
}

// Value returns a record's value, or its step or tokens under those names; NaN where it has none.
func (r Record) Value(key string) float64 {
	switch key {
	case "step":
		return float64(r.Step)
	case "tokens":
		return float64(r.Tokens)
	}
	if v, ok := r.Values[key]; ok {
		return v
	}
	return math.NaN()
}
