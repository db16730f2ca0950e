#!/usr/bin/env python3
"""Runs what `saltern bench --json` ran, in PyTorch or NumPy, and prints rows of the same form.

usage: peers.py torch|numpy [--device cpu|cuda] [--dtypes f32,bf16,f16] [--runs N] < bench.json

Each row's "dims" say all that it takes to do the same work, and its FLOPs and bytes are counted as saltern counts them.
A row that the library has nothing for is left out. Medians of --runs runs after warm-ups, as there.

usage: peers.py tokenizers TEXT RUNS tokenizer.json... does what `saltern bench tokenizer --json` does, in tokenizers.
"""
import argparse
import json
import os
import statistics
import sys
import time


def tokenizers(text, runs, files):
    """Rows of `saltern bench tokenizer`: documents of 64 KiB, one after the other on one processor, special tokens taken for text."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer, __version__

    with open(text, "rb") as f:
        data = f.read()
    documents = [data[i : i + 65536].decode(errors="replace") for i in range(0, len(data), 65536)]
    rows = []
    for path in files:
        t, tokens = Tokenizer.from_file(path), [0]
        t.encode_special_tokens = True

        def run():
            tokens[0] = sum(len(t.encode(d, add_special_tokens=False).ids) for d in documents)

        ms = timed(run, lambda: None, runs, warm=1)
        name = os.path.basename(path).removesuffix(".json")
        rows.append({"tokenizer": name, "bytes": len(data), "tokens": tokens[0], "ms": statistics.median(ms), "mbytes": len(data) / statistics.median(ms) / 1e3})
    return {"name": "tokenizers " + __version__, "rows": rows}


def timed(run, done, runs, warm=2):
    """The sorted milliseconds of some runs; done waits for the device."""
    for _ in range(warm):
        run()
    done()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        done()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)


class NumPy:
    """OpenBLAS, or whatever numpy was built with."""

    def __init__(self, device):
        import numpy

        self.np = numpy
        blas = numpy.show_config("dicts")["Build Dependencies"]["blas"]
        self.name = f"NumPy {numpy.__version__} with {blas['name']} {blas['version']}"
        self.device = "CPU"

    def free(self):
        pass

    def done(self):
        pass

    def work(self, row, dtype):
        if dtype != "f32" or row["suite"] not in ("matmul", "memory"):
            return None
        d, np = row["dims"], self.np
        rng = np.random.default_rng(1)
        if row["op"].startswith("matmul ") and "plain" not in row["op"]:
            form = row["op"].split()[1]
            a = rng.standard_normal((d["k"], d["m"]) if form == "TN" else (d["m"], d["k"]), dtype=np.float32)
            b = rng.standard_normal((d["n"], d["k"]) if form == "NT" else (d["k"], d["n"]), dtype=np.float32)
            a, b = (a.T if form == "TN" else a), (b.T if form == "NT" else b)
            y = np.empty((d["m"], d["n"]), dtype=np.float32)
            return lambda: np.matmul(a, b, out=y)
        if row["op"] == "copy":
            a = rng.integers(0, 1 << 32, d["bytes"] // 4, dtype=np.uint32)
            b = np.zeros_like(a)
            return lambda: np.copyto(b, a)
        return None


class Torch:
    """PyTorch: MKL or oneDNN on the CPU, cuBLAS and flash attention on an NVIDIA GPU."""

    def __init__(self, device):
        import torch
        import torch.nn.functional as F

        self.torch, self.F, self.on = torch, F, torch.device(device)
        if device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False  # float32 is float32, as there
            self.device = torch.cuda.get_device_name()
        else:
            self.device = f"CPU, {torch.get_num_threads()} threads"
        self.name = f"PyTorch {torch.__version__}" + (f", CUDA {torch.version.cuda}" if device == "cuda" else "")

    def free(self):
        if self.on.type == "cuda":
            self.torch.cuda.empty_cache()

    def done(self):
        if self.on.type == "cuda":
            self.torch.cuda.synchronize()

    def work(self, row, dtype):
        """A function that does the row's work once, or None."""
        make = {
            "matmul": self.matmul, "attention": self.attention, "loss": self.loss, "memory": self.memory, "train": self.train,
        }[row["suite"]]
        t = {"f32": self.torch.float32, "bf16": self.torch.bfloat16, "f16": self.torch.float16}[dtype]
        return make(row["op"], row["dims"], t)

    def random(self, t, *shape, grad=False):
        return self.torch.randn(*shape, device=self.on).to(t).requires_grad_(grad)

    def matmul(self, op, d, t):
        if "plain" in op:
            return None
        form = op.split()[1]
        a = self.random(t, d["k"], d["m"]).T if form == "TN" else self.random(t, d["m"], d["k"])
        b = self.random(t, d["n"], d["k"]).T if form == "NT" else self.random(t, d["k"], d["n"])
        y = self.torch.empty(d["m"], d["n"], dtype=t, device=self.on)
        return lambda: self.torch.matmul(a, b, out=y)

    def attention(self, op, d, t):
        if op not in ("attention", "attention and gradient"):
            return None
        grad = op != "attention"
        shape = (d["tokens"] // d["sequence"], d["heads"], d["sequence"], d["head_size"])
        q, k, v = (self.random(t, *shape, grad=grad) for _ in range(3))
        do = self.random(t, *shape)

        def run():
            o = self.F.scaled_dot_product_attention(q, k, v, is_causal=True)
            if grad:
                self.torch.autograd.grad(o, (q, k, v), do)

        return run

    def loss(self, op, d, t):
        if op not in ("loss", "loss and gradient"):
            return None
        grad = op != "loss"
        h, w = self.random(t, d["tokens"], d["width"], grad=grad), self.random(t, d["vocabulary"], d["width"], grad=grad)
        labels = self.torch.randint(d["vocabulary"], (d["tokens"],), device=self.on)

        def run():
            loss = self.F.cross_entropy(self.F.linear(h, w).float(), labels)
            if grad:
                self.torch.autograd.grad(loss, (h, w))

        return run

    def memory(self, op, d, t):
        torch, F = self.torch, self.F
        if op == "copy":
            if t != torch.float32:
                return None
            a = torch.randn(d["bytes"] // 4, device=self.on)
            b = torch.zeros_like(a)
            return lambda: b.copy_(a)
        if t != torch.float32:  # the bytes are counted of float32
            return None
        n, w = d["rows"], d["width"]
        if op in ("rms_norm", "rms_norm_grad"):
            if not hasattr(F, "rms_norm"):
                return None
            x, g = self.random(t, n, w, grad=True), self.random(t, w, grad=True)
            return self.either(op.endswith("_grad"), lambda: F.rms_norm(x, (w,), g, 1e-5), (x, g), self.random(t, n, w))
        if op in ("swiglu", "swiglu_grad"):
            x = self.random(t, n, w, grad=True)

            def swiglu():
                gate, up = x.chunk(2, dim=1)
                return F.silu(gate) * up

            return self.either(op.endswith("_grad"), swiglu, (x,), self.random(t, n, w // 2))
        if op in ("embed", "embed_grad"):
            table = self.random(t, n, w, grad=True)
            ids = torch.randint(n, (n,), device=self.on)
            return self.either(op.endswith("_grad"), lambda: F.embedding(ids, table), (table,), self.random(t, n, w))
        if op == "add":
            a, b = self.random(t, n, w), self.random(t, n, w)
            y = torch.empty_like(a)
            return lambda: torch.add(a, b, out=y)
        if op == "sum_squares":
            g = self.random(t, n * w)
            return lambda: torch.dot(g, g)
        if op == "adamw":
            p = self.random(t, n * w, grad=True)
            p.grad = self.random(t, n * w)
            return torch.optim.AdamW([p], fused=True).step
        return None

    def either(self, grad, forward, inputs, dy):
        """The forward pass alone, or the backward pass alone."""
        if not grad:
            def run():
                with self.torch.no_grad():
                    forward()
            return run
        y = forward()
        return lambda: self.torch.autograd.grad(y, inputs, dy, retain_graph=True)

    def train(self, op, d, t):
        """Whole optimizer steps; below float32 by autocast over float32 weights."""
        torch = self.torch
        model = llama(torch, d).to(self.on)
        decayed = [p for p in model.parameters() if p.dim() > 1]
        others = [p for p in model.parameters() if p.dim() <= 1]
        params = decayed + others
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-4, betas=(0.9, 0.95), fused=True)
        ids = torch.randint(d["vocabulary"], (d["batch"], d["sequence"] + 1), device=self.on)
        micro = d["microbatch"]
        parts = d["batch"] // micro

        def run():
            for i in range(parts):
                rows = ids[i * micro : (i + 1) * micro]
                with torch.autocast(self.on.type, dtype=t, enabled=t != torch.float32):
                    loss = model(rows[:, :-1].contiguous(), rows[:, 1:].reshape(-1))
                (loss / parts).backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return run


def llama(torch, d):
    """The model that saltern trains: RMSNorm before each block, rotary positions, SwiGLU, no bias."""
    nn, F = torch.nn, torch.nn.functional
    H, G, S, D = d["heads"], d["kv_heads"], d["head_size"], d["width"]

    def rotary(x, cos, sin):
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(D, 1e-5), nn.RMSNorm(D, 1e-5)
            self.qkv, self.out = nn.Linear(D, (H + 2 * G) * S, bias=False), nn.Linear(H * S, D, bias=False)
            self.gate_up, self.down = nn.Linear(D, 2 * d["ffn"], bias=False), nn.Linear(d["ffn"], D, bias=False)

        def forward(self, x, cos, sin):
            B, T, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).split((H * S, G * S, G * S), dim=-1)
            q, k, v = (y.view(B, T, -1, S).transpose(1, 2) for y in (q, k, v))
            q, k = rotary(q, cos, sin).to(v.dtype), rotary(k, cos, sin).to(v.dtype)
            if G != H:
                k, v = k.repeat_interleave(H // G, 1), v.repeat_interleave(H // G, 1)
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(o.transpose(1, 2).reshape(B, T, H * S))
            gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
            return x + self.down(F.silu(gate) * up)

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(d["vocabulary"], D)
            self.blocks = nn.ModuleList(Block() for _ in range(d["layers"]))
            self.norm = nn.RMSNorm(D, 1e-5)
            self.head = nn.Linear(D, d["vocabulary"], bias=False)
            if d["tied"]:
                self.head.weight = self.embed.weight
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)
            angle = torch.outer(torch.arange(d["sequence"]), 10000 ** -(torch.arange(0, S, 2) / S))
            self.register_buffer("cos", angle.cos())
            self.register_buffer("sin", angle.sin())

        def forward(self, ids, labels):
            x = self.embed(ids)
            for b in self.blocks:
                x = b(x, self.cos, self.sin)
            return F.cross_entropy(self.head(self.norm(x)).view(-1, d["vocabulary"]).float(), labels)

    model = Llama()
    count = sum(p.numel() for p in model.parameters())
    if count != d["parameters"]:
        raise SystemExit(f"peers.py: the model has {count} parameters, saltern's {d['parameters']}")
    return model


def measure(library, row, dtype, runs):
    """The row as this library runs it, without what only saltern knows; None where it has nothing."""
    work = row
    while True:
        try:
            run = library.work(work, dtype)
            if run is None:
                return None
            times = timed(run, library.done, runs)
            break
        except RuntimeError as e:
            micro = work["dims"].get("microbatch", 1)
            if "out of memory" not in str(e) or micro % 2:
                raise
        run = None  # a step may be cut smaller; outside of the handler, which holds the tensors
        library.free()
        work = work | {"dims": work["dims"] | {"microbatch": micro // 2}}
    ms = statistics.median(times)
    out = {key: row[key] for key in ("suite", "op", "dims", "flops", "bytes") if key in row}
    out |= {"dtype": dtype, "ms": ms, "ms_min": times[0], "ms_max": times[-1]}
    if "flops" in row:
        out["gflops"] = row["flops"] / ms / 1e6
    if "bytes" in row:
        out["gbytes"] = row["bytes"] / ms / 1e6
    return out


def main():
    if sys.argv[1:2] == ["tokenizers"]:
        print(json.dumps(tokenizers(sys.argv[2], int(sys.argv[3]), sys.argv[4:])))
        return
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("library", choices=("torch", "numpy"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", default="f32")
    parser.add_argument("--runs", type=int, default=5)
    a = parser.parse_args()
    library = {"torch": Torch, "numpy": NumPy}[a.library](a.device)
    rows, failed = [], []
    for row in json.load(sys.stdin)["rows"]:
        for dtype in a.dtypes.split(","):
            try:
                r = measure(library, row, dtype, a.runs)
            except Exception as e:  # out of memory, a type that the device lacks: the others are still to be had
                failed.append(f"{row['op']} {dtype}: {type(e).__name__}: {e}".split("\n")[0])
                continue
            finally:
                library.free()
            if r:
                rows.append(r)
    json.dump({"name": library.name, "device": library.device, "rows": rows, "failed": failed}, sys.stdout)


if __name__ == "__main__":
    main()
