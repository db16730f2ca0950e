package cluster

import (
	"fmt"

	"saltern/cluster/wire"
)

// Local says that ranks train by themselves and come together now and then.
func (c Config) Local() bool { return c.Sync == "local" }

// Format is how they write numbers for each other, of a Config that has been checked.
func (c Config) Format() (f wire.Format) {
	_ = f.UnmarshalText([]byte(c.Wire))
	return f
}

func (c Config) syncDefaults() Config {
	if c.Sync == "" {
		c.Sync = "every-step"
	}
	if c.LocalSteps == 0 {
		c.LocalSteps = 50
	}
	if c.OuterLR == 0 {
		c.OuterLR = 0.7
	}
	if c.OuterMomentum == 0 {
		c.OuterMomentum = 0.9
	}
	if c.Wire == "" {
		c.Wire = wire.Float32.String()
		if c.Local() {
			c.Wire = wire.Int8.String()
		}
	}
	return c
}

func (c Config) checkSync(bad func(key, message string)) {
	if c.Sync != "every-step" && c.Sync != "local" {
		bad("sync", fmt.Sprintf(`sync = %q is unknown; use "every-step" or "local"`, c.Sync))
	}
	if c.Local() && c.ShardOptimizer {
		bad("shard_optimizer", `shard_optimizer = true shares the optimizer among ranks that take every step together, and with sync = "local" each has its own; leave one of them out`)
	}
	if c.Local() && c.Elastic {
		bad("elastic", `elastic = true lets fewer ranks go on, and with sync = "local" each has state of its own that goes with it; leave one of them out`)
	}
	if c.LocalSteps < 1 || c.LocalSteps > 1e6 {
		bad("local_steps", fmt.Sprintf("local_steps = %d is out of bounds; use 1 to 1000000, 50 is usual in short trainings", c.LocalSteps))
	}
	if !(c.OuterLR > 0 && c.OuterLR <= 2) {
		bad("outer_lr", fmt.Sprintf("outer_lr = %g must lie above 0 and be at most 2; 0.7 is usual", c.OuterLR))
	}
	if !(c.OuterMomentum >= 0 && c.OuterMomentum < 1) {
		bad("outer_momentum", fmt.Sprintf("outer_momentum = %g must be at least 0 and below 1; 0.9 is usual", c.OuterMomentum))
	}
	if c.OuterDelay < 0 || c.OuterDelay > 0 && c.OuterDelay >= c.LocalSteps {
		bad("outer_delay", fmt.Sprintf("outer_delay = %d must be at least 0 and less than local_steps = %d, as the next exchange begins then", c.OuterDelay, c.LocalSteps))
	}
	if err := new(wire.Format).UnmarshalText([]byte(c.Wire)); err != nil {
		bad("wire", fmt.Sprintf("wire = %v", err))
	}
}
