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
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1)
	go func() {
		_, queued := os.LookupEnv("SLURM_JOB_ID")
		cancel(jobs.Stop{Signal: <-signals, Queued: queued})
		// A second Ctrl-C finds the default handler and kills: a command that hangs can still be stopped. Of the others a queue may
		// send several, while the state is being saved.
		signal.Reset(os.Interrupt)
	}()
	os.Exit(jobs.Main(ctx, jobs.ProcessIO(), os.Args[1:]))
}
