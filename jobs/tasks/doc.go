// Package tasks asks a language model the questions of a benchmark and counts its answers, with the numbers of EleutherAI's
// lm-evaluation-harness (0.4.13) for the same task, documents and model.
//
// What the model is and where it runs is not here: a Model scores continuations and writes text. Reading a checkpoint and printing
// tables is jobs' business.
//
//	task, err := tasks.Read("arc.jsonl")
//	result, err := task.Run(ctx, model)
//
// A task is a .jsonl file, a document in each line. The first line may be the task's settings instead, under the harness's names; see
// Settings. The harness's conventions are kept where they are easily got wrong: white space at the end of a context belongs to the
// continuation; both are tokenized together; a context that is too long loses its beginning; acc_norm divides a choice's log-likelihood
// by its characters and acc_bytes by its bytes, without the delimiter before it; the first of equals wins; the standard error is that
// of the mean, from the sample's deviation (n-1).
//
// Invariants a change must keep: the numbers are the harness's (scripts/interop/evaluate.py, and TestGolden with what it found).
package tasks
