#!/usr/bin/env python3
"""Reads a run's event file with the real tensorboard package and compares it with metrics.jsonl, scalar by scalar.

usage: python scripts/interop/tensorboard_events.py [RUN/llm-salt]    without a folder a small model is trained for a few steps

Needs tensorboard, as make interop has it.
"""
import json, math, os, subprocess, sys, tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

JOB = """
[corpus]
sources = ["$GOROOT/src/sort/*.go"]
[tokenizer]
vocab_size = 300
[llm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 20, batch = 4, lr = 0.01, log_every = 1 }
[distill]
method = "baseline"
"""


def train():
    folder = tempfile.mkdtemp(prefix="saltern-interop-")
    with open(os.path.join(folder, "job.toml"), "w") as f:
        f.write(JOB)
    saltern = os.path.join(folder, "saltern")
    subprocess.run(["go", "build", "-o", saltern, "."], cwd=root, check=True)
    subprocess.run([saltern, "train", "job.toml"], cwd=folder, check=True, stdout=sys.stderr)
    return os.path.join(folder, "runs", "job", "llm-baseline")


folder = sys.argv[1] if len(sys.argv) > 1 else train()
events = EventAccumulator(folder, size_guidance={"scalars": 0})
events.Reload()
want = {}
with open(os.path.join(folder, "metrics.jsonl")) as f:
    for line in f:
        record = json.loads(line)
        for tag, value in record.items():
            if tag != "step" and value is not None:
                want.setdefault(tag, []).append((record["step"], value))
tags, wrong = events.Tags()["scalars"], 0
for tag in sorted(set(tags) | set(want)):
    got = [(s.step, s.value) for s in events.Scalars(tag) if not math.isnan(s.value)] if tag in tags else []
    same = len(got) == len(want.get(tag, [])) and all(a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=1e-6, abs_tol=1e-37) for a, b in zip(got, want[tag]))
    wrong += not same
    print(f'{"same  " if same else "DIFFER"}  {tag}: {len(got)} values')
sys.exit(1 if wrong or not want else 0)
