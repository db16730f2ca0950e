// Package token turns bytes into token ids and back: a byte-level BPE tokenizer (Sennrich et al. 2016, arXiv 1508.07909; on
// bytes as in GPT-2) that is trained here, and kept in the tokenizer.json format of Hugging Face's tokenizers; or the one of another
// model: GPT-2, SmolLM2, Llama 2 and 3, Qwen.
//
// Reading files, splitting them into documents and writing shards of ids is package corpus. Nothing here knows of models,
// files other than tokenizer.json, or special tokens inside text.
//
// The life of a tokenizer:
//
//	tok, err := token.Train(ctx, documents, 4096, nil) // or token.Load("tokenizer.json")
//	err = tok.Save("tokenizer.json")
//	ids := tok.Encode(nil, []byte("so it goes"))       // safe from many goroutines at once
//	text := tok.Decode(ids)
//
// A text is first cut into pieces (a word with the space before it, up to three digits, a run of punctuation, white space; see
// Pattern), then each piece, from its bytes upwards, by the learned merges. A merge never crosses a piece.
//
// Ids of a tokenizer trained here: 0..255 are the bytes, each by its own value; then one id for each merge in the order
// learned; then the end-of-text token <|endoftext|>; last, where a job denoises, the tokens of a Denoising. A loaded tokenizer keeps
// the ids of its file.
//
// Invariants a change must keep:
//
//  1. Decode(Encode(x)) == x for all bytes, also those that are not UTF-8 (FuzzRoundTrip, TestFamiliesKeepBytes), but for what the
//     file of another model asks for: NFC, and ▁ for a space.
//  2. Ids equal those of Hugging Face's tokenizers given the saved file, for all UTF-8 text of assigned characters without special
//     tokens (TestGolden, TestClasses; testdata/golden.py makes the golden files). Unassigned: by the Unicode version of Go.
//     For tokenizers of other models, special tokens included, by EncodeMarked (TestFamilies; scripts/interop/vocabularies.py).
//  3. Encode never yields a special token: text that spells it is text (TestEndOfTextInText, TestDenoising).
//  4. Training is deterministic: same documents, in any order, same tokenizer (TestTrainOrder).
//  5. The hand-written splitter cuts as its regular expression does (TestSplit, and the golden file).
//
// Bytes that are not UTF-8 are cut like punctuation, one by one.
package token
