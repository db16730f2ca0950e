package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"saltern/cluster/wire"
	"saltern/compute"
)

// benchCommand measures this device.
func benchCommand() *Command {
	var flags struct {
		sets     listFlag
		products productsFlag
		device   string
		runs     int
		json     bool
		reduce   reduceBench
		tokens   tokenizerBench
		mib      int
		rank     bool
		slow     float64
	}
	flags.reduce.Sizes, flags.reduce.Wires = []int{2, 4}, wire.Formats()
	return &Command{
		Name:    "bench",
		Usage:   "[SUITE] [--runs N] [--size N|MxNxK]... [--device NAME] [--set key=value]... [--json] [job.toml]",
		Summary: "measure this device: matmul, attention, loss, memory, labels, auto, train, or all of them; or allreduce, shares, tokenizer",
		Help: `Measures on this device, with the kernels that the tuner chooses for it:

  matmul     matrix products in the three forms of a training step, in float32 and what a GPU
             has matrix units for; --size takes others than the usual squares
  attention  causal attention, forward and with its gradient
             and the products it is made of, without mask and softmax
  loss       output projection, softmax and cross entropy in one, forward and with gradient, with a teacher
             and with sparse soft labels, and the pass over the logits alone
  memory     a copy, and all that does little but move memory: norms, gates, embedding, AdamW
  labels     whole optimizer steps of a job's LLM that learn from soft labels: with labels at hand,
             and with labels read and decoded ahead of the steps; decoding alone, on one processor
  auto       whole optimizer steps with the job's SLM as the teacher: with one weight for all tokens, and with
             what transition = "auto" watches and decides, taking turns
  train      whole optimizer steps of a job's LLM on random tokens, and where their time goes;
             without a job file, of a model of a million parameters (on a GPU: 125 million)
  allreduce  no device: sums of a vector over ranks that are processes of this machine, in every wire format
             over NATS as a job's ranks have it, and over plain rings of TCP connections with and without TLS, taking turns
  shares     whole optimizer steps of a job's LLM on ranks of this process, the last of which is slowed down, with even
             shares of the batch and with those that follow speed (cluster.shares), beside the ideal
  tokenizer  no device: the text of --text to tokens, on one processor, by each tokenizer.json that is named, or
             by one of 4096 tokens that is trained on it

Without a suite, all of them but the last three: a few minutes on a CPU. Every row is the median of --runs runs
after a warm-up, with the fastest and the slowest. GFLOP/s count the arithmetic that defines
the operation, GB/s the least traffic that it needs.

"share" is of this device's own ceiling: for arithmetic the best square matrix product of this
run, for what moves memory a copy. The ceiling is measured again before and after each row,
as machines change their speed from minute to minute. "in cache" is the same operation's fastest run on so
few rows that a CPU's caches hold them: where that is below a copy's, "bound" names the instructions
that the driver makes of it, and the part of that rate which is reached. Run nothing else, and look at min and
max: where they lie far apart, the median says how busy the machine was.`,
		Example: `saltern bench
saltern bench matmul --size 768 --size 4096x512x14336
saltern bench train --runs 10 job.toml
saltern bench tokenizer --text book.txt tokenizer.json
saltern bench --json > bench.json`,
		Exits: []Kind{BadConfig, NoDevice, LacksFeature, NoMemory, Interrupted},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &flags.sets)
			fs.IntVar(&flags.runs, "runs", 5, "take the median of `N` runs, at least 5")
			fs.Var(&flags.products, "size", "matmul: a `size`, N square or MxNxK, instead of the usual ones; may be given more than once")
			deviceFlag(fs, &flags.device)
			jsonFlag(fs, &flags.json)
			fs.Var((*sizesFlag)(&flags.reduce.Sizes), "n", "allreduce: numbers of `ranks`; shares: the first of them")
			fs.Float64Var(&flags.slow, "slow", 2, "shares: the last rank takes so many `times` as long")
			fs.StringVar(&flags.tokens.text, "text", "", "tokenizer: the `file` to make tokens of")
			fs.IntVar(&flags.mib, "mib", 64, "allreduce: size of the vector in `MiB`")
			fs.Var((*wiresFlag)(&flags.reduce.Wires), "wire", "allreduce: `formats` of the vector on its way")
			fs.BoolVar(&flags.reduce.Mesh, "mesh", false, "allreduce: a server for each rank, as on several machines, instead of one in rank 0")
			fs.IntVar(&flags.reduce.Chunk, "chunk", 0, "allreduce: `bytes` of a NATS message; 0: 1 MiB")
			fs.IntVar(&flags.reduce.Window, "window", 0, "allreduce: `chunks` of a stream that may be unread; 0: 4")
			fs.BoolVar(&flags.rank, "rank", false, "allreduce: be one of the ranks; for the processes that it starts")
		},
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			if len(args) == 1 && args[0] == "allreduce" {
				flags.reduce.Runs, flags.reduce.Bytes = flags.runs, flags.mib<<20
				if flags.rank {
					return benchRank(ctx, io)
				}
				return flags.reduce.run(ctx, io, flags.json)
			}
			if len(args) > 0 && args[0] == "shares" {
				job, err := jobOrBuiltin("bench", args[1:], flags.sets)
				if err != nil {
					return err
				}
				return sharesBench{flags.reduce.Sizes[0], flags.slow, max(5, flags.runs), flags.device}.run(ctx, io, job, flags.json)
			}
			if len(args) > 0 && args[0] == "tokenizer" {
				flags.tokens.runs = max(1, flags.runs)
				return flags.tokens.run(ctx, io, args[1:], flags.json)
			}
			suites, args, err := findSuites(args)
			if err != nil {
				return err
			}
			if flags.runs < 5 {
				return fail(Usage, "bench: a median of %d runs says little; use --runs 5 or more", flags.runs)
			}
			job, err := jobOrBuiltin("bench", args, flags.sets)
			if err != nil {
				return err
			}
			device, err := openDevice(io, either(flags.device, job.Config.Device))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, device.CloseChecked()) }()
			sizes := sizesFor(device.Limits().CPU)
			if len(flags.products) > 0 {
				sizes.products = flags.products
			}
			if len(args) == 0 {
				if job, err = jobOrBuiltin("bench", nil, append(sizes.job, flags.sets...)); err != nil {
					return err
				}
			}
			tuner, err := newTuner(io, device)
			if err != nil {
				return err
			}
			tuner.Progress = nil // a benchmark tunes a node here and a node there
			device.Choose = tuner.Choose
			b := &bench{io: io, job: job, device: device, tuner: tuner, sizes: sizes, runs: flags.runs, json: flags.json}
			return b.run(ctx, suites)
		},
	}
}

// suite is one of the benchmarks: it adds its rows to b.
type suite struct {
	name, title string
	run         func(b *bench, ctx context.Context) error
}

func suites() []suite {
	return []suite{
		{"matmul", "Matrix products", (*bench).matmul},
		{"attention", "Causal attention; FLOPs of the causal half", (*bench).attention},
		{"loss", "Output projection, softmax and cross entropy", (*bench).loss},
		{"memory", "What moves memory; GB/s of the least traffic that the definition needs", (*bench).memory},
		{"labels", "Optimizer steps with sparse soft labels; FLOPs of the model", (*bench).labels},
		{"auto", "Optimizer steps with a teacher; FLOPs of both models", (*bench).auto},
		{"train", "Optimizer steps; FLOPs of the model, as papers count MFU", (*bench).train},
	}
}

// findSuites takes the suite from the arguments, if there is one, and gives the rest. An argument that ends in .toml is a job.
func findSuites(args []string) ([]suite, []string, error) {
	list := suites()
	if len(args) == 0 || strings.HasSuffix(args[0], ".toml") {
		return list, args, nil
	}
	if args[0] == "all" {
		return list, args[1:], nil
	}
	names := []string{"all", "allreduce", "tokenizer"}
	for _, s := range list {
		if s.name == args[0] {
			return []suite{s}, args[1:], nil
		}
		names = append(names, s.name)
	}
	return nil, nil, fail(Usage, "there is no benchmark %q%s", args[0], didYouMean(args[0], names, "saltern help bench"))
}

// product is the extent of a matrix product, [m,k] by [k,n].
type product struct{ m, n, k int }

func square(n int) product { return product{n, n, n} }

// productsFlag is the list of --size.
type productsFlag []product

func (f *productsFlag) String() string { return "" }

// Set appends "N" or "MxNxK".
func (f *productsFlag) Set(text string) error {
	var list []int
	for part := range strings.SplitSeq(text, "x") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > 1<<20 {
			return fmt.Errorf("%q is not N or MxNxK, each from 1 to %d", text, 1<<20)
		}
		list = append(list, n)
	}
	switch len(list) {
	case 1:
		*f = append(*f, square(list[0]))
	case 3:
		*f = append(*f, product{list[0], list[1], list[2]})
	default:
		return fmt.Errorf("%q is not N or MxNxK", text)
	}
	return nil
}

// benchSizes is how large the workloads are: enough to fill the device, small enough to take seconds.
type benchSizes struct {
	products             []product
	ceilings             []int // squares; the best product of these is the ceiling of arithmetic, the first alone the peak of MFU
	copyBytes            int64 // beyond what caches hold
	rows, width          int   // of the matrices of the memory-bound operations
	cachedRows           int   // so few of them that all operands stay in a cache; 0: do not look
	tokens, heads, size  int   // of attention
	sequences            []int // T
	lossTokens, lossW, v int
	job                  []string // settings of the built-in job
}

func sizesFor(cpu bool) benchSizes {
	if cpu {
		return benchSizes{
			products: []product{square(512), square(1024), square(2048)}, ceilings: []int{512, 1024}, copyBytes: 64 << 20,
			rows: 4096, width: 2048, cachedRows: 512, tokens: 1024, heads: 4, size: 64, sequences: []int{128, 512, 1024},
			lossTokens: 1024, lossW: 256, v: 8192,
		}
	}
	return benchSizes{
		products: []product{square(2048), square(4096), square(8192)}, ceilings: []int{4096, 2048}, copyBytes: 512 << 20,
		rows: 32768, width: 2048, tokens: 8192, heads: 16, size: 128, sequences: []int{1024, 2048, 4096},
		lossTokens: 8192, lossW: 2048, v: 32768,
		job: []string{"llm.model.preset=125M", "tokenizer.vocab_size=32768", "llm.train.batch=16", "llm.train.sequence=1024"},
	}
}

// bench is a benchmark under way.
type bench struct {
	io     IO
	job    *Job
	device *compute.Device
	tuner  *compute.Tuner
	sizes  benchSizes
	runs   int
	json   bool

	best     map[compute.DType]*ceilingProduct
	rows     []row
	profiled *profile // of a training step
}

func (b *bench) run(ctx context.Context, list []suite) (err error) {
	info := b.device.Info()
	date, command := time.Now().UTC().Format("2006-01-02 15:04 UTC"), commandLine(os.Args[1:])
	b.best = map[compute.DType]*ceilingProduct{}
	defer func() {
		for _, c := range b.best {
			c.close()
		}
	}()
	best, err := b.product(compute.F32)
	if err != nil {
		return err
	}
	processor := ""
	if b.device.Limits().CPU {
		processor = compute.Processor()
	}
	if !b.json {
		fmt.Fprintf(b.io.Out, "device     %s\ndriver     %s\n", info.Name, info.Driver)
		if processor != "" {
			fmt.Fprintf(b.io.Out, "processor  %s\n", processor)
		}
		fmt.Fprintf(b.io.Out, "date       %s\ncommand    %s\nceiling    %s\n", date, command, best)
	}
	for _, s := range list {
		from := len(b.rows)
		if err := s.run(b, ctx); err != nil {
			return err
		}
		if !b.json {
			fmt.Fprintf(b.io.Out, "\n%s\n", strings.TrimSuffix(s.title+": "+common(b.rows[from:]).String(), ": "))
			if err := rowTable(b.rows[from:]).Write(b.io.Out, false); err != nil {
				return err
			}
		}
	}
	if b.profiled != nil && !b.json {
		fmt.Fprintf(b.io.Out, "\nWhere a step's time goes: %s\n", b.profiled)
		return b.profiled.table(b.rows[len(b.rows)-1].ceiling).Write(b.io.Out, false)
	}
	if !b.json {
		return nil
	}
	text, err := json.MarshalIndent(struct {
		Device    string            `json:"device"`
		Driver    string            `json:"driver"`
		UUID      string            `json:"uuid"`
		Type      string            `json:"type"`
		Processor string            `json:"processor,omitempty"` // of a device that is one
		Date      string            `json:"date"`
		Command   string            `json:"command"`
		Runs      int               `json:"runs"`
		Kernels   map[string]string `json:"kernels"`
		Rows      []row             `json:"rows"`
		Profile   *profile          `json:"profile,omitempty"`
	}{info.Name, info.Driver, info.UUID, info.Type.String(), processor, date, command, b.runs, b.tuner.Choices().Kernels, b.rows, b.profiled}, "", "  ")
	if err != nil {
		return fmt.Errorf("bug: %w", err)
	}
	_, err = fmt.Fprintf(b.io.Out, "%s\n", text)
	return err
}

// product is the best matrix product of a type, chosen when it is first asked for.
func (b *bench) product(t compute.DType) (*ceilingProduct, error) {
	if c, ok := b.best[t]; ok {
		return c, nil
	}
	c, err := bestProduct(b.device, b.tuner, t, b.sizes.ceilings, b.runs)
	if err == nil {
		b.best[t] = c
	}
	return c, err
}

// types are those that matrix products are measured in: float32, and on a GPU what it has matrix units for.
func (b *bench) types() []compute.DType {
	list := []compute.DType{compute.F32}
	if l := b.device.Limits(); !l.CPU {
		for _, m := range l.Matrices {
			if m.In.Half() && !slices.Contains(list, m.In) {
				list = append(list, m.In)
			}
		}
	}
	return list
}

// record makes a program.
func record(f func(r *compute.Recorder)) (*compute.Program, error) {
	r := compute.NewRecorder()
	f(r)
	return r.Finish()
}

// state declares device memory.
func state(name string, shape ...int) *compute.Tensor {
	return compute.NewTensor(compute.State, name, compute.F32, shape...)
}
