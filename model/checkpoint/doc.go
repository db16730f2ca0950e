// Package checkpoint writes, lists and opens the checkpoints of a training run, so that a crash at any moment leaves the
// old checkpoint or the new one, whole.
//
// It knows files, not networks: which tensors a model has and what its configuration says come from the caller as named
// tensors and bytes; the tensors' file format is in model/safetensors; when a checkpoint is due is decided in jobs.
//
// A run's root looks like this, and nothing but this package writes there:
//
//	latest                    the name of the checkpoint to resume from, one line of text
//	step_00000300/
//	step_00000400/
//	    model.safetensors     weights alone, for any program that reads Hugging Face models
//	    optimizer.safetensors
//	    config.json           tokenizer.json
//	    rank_0.safetensors    and so on: what ranks have of their own, where they train apart
//	    manifest.json         format version, step, data position, the caller's state; size and SHA-256 of each file
//	suspect_00000500/         one that [SetAside] took out of the run
//	.tmp-...                  a write under way, or what a crash left of it; the next [Write] removes it
//	.parts/                   what ranks have written by [WritePart] and no checkpoint has taken in yet
//
// [Write] fills a temporary folder, syncs every file and the folder, renames it into place, replaces `latest` by
// another rename, and only then removes old checkpoints. [Open] takes a root or one checkpoint's folder and verifies every
// hash before it returns; [List] shows what there is without reading the tensors. One process writes
// to a root at a time, parts apart.
//
// [Open] also takes a folder of another program, as Hugging Face's transformers saves it, to be read and never written.
//
// Home folders may be NFS, so nothing here depends on links, memory maps or file locks.
//
// Invariants:
//  1. Killed between any two file operations or in the middle of one, a root opens as before or as after the write, and the next
//     write cleans up (TestKilledAtEveryOperation).
//  2. Nothing is renamed into view before its bytes are synced, nothing is removed before its successor is (TestOperations).
//  3. A byte flipped, cut or missing anywhere in a checkpoint is noticed (TestDamage).
//  4. A folder in view is never written again. A step saved a second time, as when a run ends where it last saved or is
//     resumed further back, becomes step_00000400.1 (TestStepTwice).
//  5. The checkpoint that `latest` names is never removed, nor one that is pinned, nor the newest that is known to be good
//     (TestKeep, TestPinned, TestKeepGood).
//
// A tensor passes through memory once, alone; the hash is computed on the way to the file.
package checkpoint
