// Package safetensors reads and writes the safetensors file format: named tensors behind one JSON header.
//
// Only the file format lives here. What the tensors mean, which names a Hugging Face Llama gives them, and how a file
// gets onto a disk safely belong to the callers; see model/checkpoint for the latter.
//
// A file is an 8-byte little-endian header length, the header (a JSON object, padded with spaces so that the data
// begins at a multiple of 8), and the tensors' bytes, row-major and little-endian:
//
//	{"__metadata__": {"format": "pt"},
//	 "model.norm.weight": {"dtype": "F32", "shape": [512], "data_offsets": [0, 2048]}, ...}
//
// [Write] streams: every tensor is asked for its values when its turn comes, so at most one is in memory. [Open] reads
// and checks the header alone; [File.Float32] then reads one tensor at a time and turns float16 and bfloat16 into
// float32.
//
// Invariants:
//  1. Tensors lie in the order of their names, each once, so equal tensors give equal files (TestWriteIsCanonical).
//  2. No header, however broken, makes a reader panic, allocate more than the file's own size warrants, or yield a
//     tensor outside the file (FuzzHeader).
//  3. A file that is accepted has no holes and no overlaps: every data byte belongs to exactly one tensor
//     (TestHeaderProblems).
//
// Source: the format's description at https://huggingface.co/docs/safetensors.
package safetensors
