// Package corpus turns text files into shards of token ids, and shards into batches.
//
// How text becomes ids is package token; what the ids are fed to is package model; which sequences a method selects is
// package distill.
//
// Prepare runs once for a job, Open in every rank:
//
//	manifest, err := corpus.Prepare(ctx, cfg, token.Config{VocabSize: 4096}, "data", progress)
//
//	set, err := corpus.Open("data")
//	order := corpus.Order{Seed: 1, Sequences: set.Train.Sequences(T)}
//	for first := int64(0); ; first += B * ranks {
//		err = set.Train.Batch(order, first+rank*B, B, T, ids, labels)
//	}
//
// A document is a plain text file, a part of one (Config.Separator, Config.DocumentBytes), a line of a .jsonl file, or a row of a
// .parquet file. Exact duplicates are dropped. Whether a document is held out depends on its bytes alone. The ids of all documents, each after an
// end-of-text token, make one long stream per part, train and heldout, cut into shards.
//
// Letters: B sequences in a batch, T tokens in a sequence. Sequence i of a stream is tokens i*T .. i*T+T, one more than T: the
// inputs are the first T, the labels the last T, so that each token but the first is predicted once in an epoch.
//
// The place in the data is one number, the global index of a sample: the same for any number of ranks, accumulation steps or
// microbatches. Nothing else has to be kept to resume.
//
// Which file each token came from stands in origins.jsonl, a line for every file.
//
// A shard is a file in the format of llm.c: 256 little-endian int32 of header (magic 20240520 and version 1 with uint16 ids, or magic
// 20240801 and version 7 with uint32 ids; then the number of ids), then the ids. ExportNanoGPT writes them without a header.
//
// Invariants a change must keep:
//
//  1. The folder is complete or not there: it is written beside its place, synced, and renamed (TestPrepareAtomic). What was begun is gone on with, to
//     the same bytes (TestResume).
//  2. The split does not depend on the order, place or number of files (TestSplitIsStable).
//  3. Order is a bijection in each epoch, and its values never change from version to version (TestOrder).
//  4. Memory is bounded by a few of the largest documents (Config.DocumentBytes) for each processor, and a hash of 16 bytes for every
//     document, 23 to 45 with its place in the table; max_bytes, for quick jobs, adds 40 (TestMemoryIsBounded).
//  5. The same sources have the same key from version to version (TestKeyIsStable).
package corpus
