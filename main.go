// Command saltern pretrains large language models with a little help from small ones (SALT, arXiv 2410.18779).
//
// It hands the command line to package jobs, whose Main returns the exit code; here alone the process ends.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"saltern/jobs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal finds the default handler and kills: a command that hangs can still be stopped.
	context.AfterFunc(ctx, stop)
	os.Exit(jobs.Main(ctx, jobs.ProcessIO(), os.Args[1:]))
}
