package jobs

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

// helpCommand explains saltern, a command, or a topic.
func helpCommand() *Command {
	return &Command{
		Name:    "help",
		Usage:   "[command or topic]",
		Summary: "explain saltern, a command, or a topic",
		Help: `Without an argument, lists the commands and topics. With one, explains it; "saltern
COMMAND --help" is the same.`,
		Example: `saltern help config
saltern help exit-codes`,
		Run: func(_ context.Context, io IO, args []string) error {
			switch len(args) {
			case 0:
				return writeOverview(io.Out)
			case 1:
			default:
				return fail(Usage, "help explains one command or topic at a time, not %d", len(args))
			}
			if c := find(args[0]); c != nil {
				return writeHelp(io.Out, c)
			}
			var names []string
			for _, c := range commands() {
				names = append(names, c.Name)
			}
			return fail(Usage, "there is no command or topic %q%s", args[0], didYouMean(args[0], names, "saltern help"))
		},
	}
}

func writeOverview(w io.Writer) error {
	var b strings.Builder
	b.WriteString("saltern pretrains language models with a little help from small ones, on any GPU that speaks Vulkan.\n\n")
	b.WriteString("usage: saltern COMMAND [flags] [arguments]\n\ncommands:\n")
	for _, c := range commands() {
		if c.Run != nil {
			fmt.Fprintf(&b, "  %-12s %s\n", c.Name, c.Summary)
		}
	}
	b.WriteString("\ntopics:\n")
	for _, c := range commands() {
		if c.Run == nil {
			fmt.Fprintf(&b, "  %-12s %s\n", c.Name, c.Summary)
		}
	}
	b.WriteString("\nMore on each: saltern help NAME\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeHelp(w io.Writer, c *Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", c.Name, c.Summary)
	if c.Run != nil {
		fmt.Fprintf(&b, "usage: %s\n\n", strings.TrimSpace("saltern "+c.Name+" "+c.Usage))
	}
	b.WriteString(strings.TrimSpace(c.Help) + "\n")
	if flags := c.flagLines(); len(flags) > 0 {
		b.WriteString("\nflags:\n  " + strings.Join(flags, "\n  ") + "\n")
	}
	if c.Example != "" {
		b.WriteString("\nexample:\n  " + strings.ReplaceAll(c.Example, "\n", "\n  ") + "\n")
	}
	if c.Run != nil {
		b.WriteString("\nexit codes:\n")
		for _, k := range append([]Kind{OK, Failed, Usage}, c.Exits...) {
			fmt.Fprintf(&b, "  %2d  %s\n", int(k), k)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// flagLines describes each flag in one line.
func (c *Command) flagLines() []string {
	var lines []string
	c.flagSet().VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		head := strings.TrimSpace("--" + f.Name + " " + value)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		lines = append(lines, fmt.Sprintf("%-18s %s", head, usage))
	})
	return lines
}
