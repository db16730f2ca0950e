package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// IO is the outside world as a command sees it.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool                        // Err is a terminal: progress may be drawn there
	Env      func(string) (string, bool) // looks up an environment variable
	Rank     int                         // of this process among those that do a job together; the first is for people to look at
}

// ProcessIO is the IO of this process.
func ProcessIO() IO {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: terminal, Env: os.LookupEnv}
}

// Command is one thing that saltern does, or a help topic, which has no Run. Commands are values made by a function, so
// flags live in a local struct of that function.
type Command struct {
	Name    string
	Usage   string // the arguments after the name, as "[flags] job.toml"
	Summary string // one line, no full stop
	Help    string // when to use it and how, in paragraphs wrapped at 90 columns
	Example string // lines of a shell session
	Exits   []Kind // exit codes beyond ok, failed and usage

	Ranks     func(args []string) (*Job, error) // the job of several processes that run it together, once the flags are set; nil: one runs it alone
	Delegates bool                              // the arguments are another command with its flags

	Flags func(fs *flag.FlagSet) // nil: none
	Run   func(ctx context.Context, io IO, args []string) error
}

// Main runs the command line args (without the program's name), reports an error on io.Err, and returns the exit code.
func Main(ctx context.Context, io IO, args []string) int {
	name, args := "help", append([]string(nil), args...)
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if name == "-h" || name == "-help" || name == "--help" {
		name = "help"
	}
	err := dispatch(ctx, io, name, args)
	if err == nil {
		return int(OK)
	}
	message := err.Error()
	if KindOf(err) != BadConfig { // whose lines begin with file:line:column, for editors to jump to
		message = "saltern: " + message
	}
	fmt.Fprintln(io.Err, message)
	return int(KindOf(err))
}

func dispatch(ctx context.Context, io IO, name string, args []string) error {
	c := find(name)
	if c == nil || c.Run == nil {
		var runnable []string
		for _, c := range commands() {
			if c.Run != nil {
				runnable = append(runnable, c.Name)
			}
		}
		return fail(Usage, "there is no command %q%s", name, didYouMean(name, runnable, "saltern help"))
	}
	args, err := c.parse(c.flagSet(), args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return writeHelp(io.Out, c)
	case err != nil:
		return fail(Usage, "%s: %w", c.Name, err)
	}
	if io, err = c.amongRanks(io); err != nil {
		return err
	}
	return c.Run(ctx, io, args)
}

func find(name string) *Command {
	for _, c := range commands() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// flagSet is the command's flags, silent: what is wrong comes back as an error.
func (c *Command) flagSet() *flag.FlagSet {
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	if c.Flags != nil {
		c.Flags(fs)
	}
	return fs
}

// parse sets the command's flags, which are fs, from args, before and after the arguments, and returns the arguments. All that follows
// "--" is arguments.
func (c *Command) parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, c.explain(fs, err)
		}
		parsed := len(args) - fs.NArg()
		if fs.NArg() == 0 || c.Delegates || parsed > 0 && args[parsed-1] == "--" {
			return append(rest, fs.Args()...), nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// explain adds what to do to an error of package flag.
func (c *Command) explain(fs *flag.FlagSet, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return fmt.Errorf("%w; run: saltern help %s", err, c.Name)
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	return fmt.Errorf("there is no flag --%s%s", name, didYouMean(name, names, "saltern help "+c.Name))
}

// listFlag is a flag that may be given more than once.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, " ") }

// Set appends one value.
func (l *listFlag) Set(value string) error {
	*l = append(*l, value)
	return nil
}
