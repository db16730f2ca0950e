package cluster

import (
	"slices"
	"testing"

	"saltern/cluster/wire"
)

func TestSyncKeys(t *testing.T) {
	for _, test := range []struct {
		why  string
		c    Config
		want []string // keys to blame
	}{
		{"all defaults are right", Config{}, nil},
		{"local as well", Config{Sync: "local"}, nil},
		{"a word that never was", Config{Sync: "weekly"}, []string{"sync"}},
		{"a round of no steps", Config{LocalSteps: -1}, []string{"local_steps"}},
		{"an outer step beyond all bounds", Config{OuterLR: 2.5}, []string{"outer_lr"}},
		{"a momentum that never ends", Config{OuterMomentum: 1}, []string{"outer_momentum"}},
		{"a delay as long as the round", Config{LocalSteps: 10, OuterDelay: 10}, []string{"outer_delay"}},
		{"one step less", Config{LocalSteps: 10, OuterDelay: 9}, nil},
		{"a format that never was", Config{Wire: "fp4"}, []string{"wire"}},
		{"who has the whole optimizer cannot share it", Config{Sync: "local", ShardOptimizer: true}, []string{"shard_optimizer"}},
		{"who has state of its own cannot be done without", Config{Sync: "local", Elastic: true}, []string{"elastic"}},
		{"who takes every step together can", Config{ShardOptimizer: true}, nil},
	} {
		var got []string
		c := test.c.Defaults()
		c.Check(func(key, _ string) { got = append(got, key) })
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.why, got, test.want)
		}
		if c != c.Defaults() {
			t.Errorf("%s: Defaults is not idempotent", test.why)
		}
	}
	for _, test := range []struct {
		c    Config
		want wire.Format
	}{
		{Config{}, wire.Float32}, {Config{Sync: "local"}, wire.Int8}, {Config{Wire: "int8"}, wire.Int8},
		{Config{Sync: "local", Wire: "float32"}, wire.Float32}, {Config{Sync: "local", Wire: "bfloat16"}, wire.BFloat16},
	} {
		if got := test.c.Defaults().Format(); got != test.want {
			t.Errorf("sync = %q, wire = %q is %s, want %s", test.c.Sync, test.c.Wire, got, test.want)
		}
	}
}
