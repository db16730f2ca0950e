package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// file is tokenizer.json, in the order that Hugging Face's tokenizers writes it. What may only have one value is kept raw and compared.
type file struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         fileModel       `json:"model"`
}

type addedToken struct {
	ID         uint32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type fileModel struct {
	Type                    string          `json:"type"`
	Dropout                 *float64        `json:"dropout"`
	UnkToken                *string         `json:"unk_token"`
	ContinuingSubwordPrefix *string         `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string         `json:"end_of_word_suffix"`
	FuseUnk                 bool            `json:"fuse_unk"`
	ByteFallback            bool            `json:"byte_fallback"`
	IgnoreMerges            bool            `json:"ignore_merges"`
	Vocab                   json.RawMessage `json:"vocab"`
	Merges                  json.RawMessage `json:"merges"`
}

// byteLevel is the ByteLevel step as pre-tokenizer, post-processor or decoder. As a post-processor it only moves offsets, as a decoder
// only its type counts.
type byteLevel struct {
	Type           string `json:"type"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	TrimOffsets    bool   `json:"trim_offsets"`
	UseRegex       *bool  `json:"use_regex"` // nil, as in older files, is true
}

// Save writes the tokenizer as path, in the tokenizer.json format, whole or not at all.
func (t *Tokenizer) Save(path string) error {
	data, err := t.marshal()
	if err != nil {
		return fmt.Errorf("writing tokenizer %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, data, 0o644, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("writing tokenizer %s: %w", path, err)
	}
	return nil
}

func (t *Tokenizer) marshal() ([]byte, error) {
	if t.foreign != nil {
		return t.foreign.raw, nil
	}
	spelled := make([]string, len(t.tokens))
	for id, text := range t.tokens {
		spelled[id] = visible(text)
	}
	spelled[t.end] = EndOfText
	added := []addedToken{{ID: t.end, Content: EndOfText, Special: true}}
	for _, id := range t.Unwritten() {
		spelled[id] = string(t.tokens[id])
		added = append(added, addedToken{ID: id, Content: spelled[id], Special: true})
	}
	// By hand, since a map would be sorted by spelling rather than by id.
	vocab := []byte{'{'}
	for id, text := range spelled {
		if id > 0 {
			vocab = append(vocab, ',')
		}
		vocab = fmt.Appendf(vocab, "%s:%d", quote(text), id)
	}
	vocab = append(vocab, '}')
	merges := []byte{'['}
	for rank, m := range t.merges {
		if rank > 0 {
			merges = append(merges, ',')
		}
		// "a b" and not ["a","b"]: every version reads it, and no spelling contains a space.
		merges = append(merges, quote(spelled[m.left]+" "+spelled[m.right])...)
	}
	merges = append(merges, ']')
	null := json.RawMessage("null")
	f := file{
		Version: "1.0", Truncation: null, Padding: null, Normalizer: null, PostProcessor: null,
		AddedTokens: added,
		PreTokenizer: fmt.Appendf(nil, `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":%s},"behavior":"Isolated","invert":false},`+
			`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`, quote(t.split.pattern)),
		Decoder: json.RawMessage(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`),
		Model:   fileModel{Type: "BPE", Vocab: vocab, Merges: merges},
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(f)
	return out.Bytes(), err
}

func quote(s string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string into memory cannot fail
	return bytes.TrimSpace(out.Bytes())
}

// Load reads a tokenizer.json: BPE on bytes with one of the patterns known here, or as SentencePiece has it. Any other feature that
// would change ids is an error that names it.
func Load(path string) (*Tokenizer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the tokenizer: %w", err)
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// strict decodes JSON, with an error for fields that out does not have and for anything after the value.
func strict(data []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		var at *json.SyntaxError
		if errors.As(err, &at) {
			return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int(at.Offset), len(data))], []byte("\n")), err)
		}
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is more after the end of the JSON value")
	}
	return nil
}

func isByteLevel(raw json.RawMessage) bool {
	var step byteLevel
	return strict(raw, &step) == nil && step.Type == "ByteLevel"
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// brief shortens JSON for a message.
func brief(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil || out.Len() == 0 {
		return "null"
	}
	if s := out.String(); len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "..."
	}
	return out.String()
}

// parseMerges reads merges in either form, "a b" or ["a","b"], and finds what each makes.
func parseMerges(raw json.RawMessage, ids map[string]uint32) (merges []pair, results []uint32, err error) {
	var list [][2]string
	var lines []string
	if json.Unmarshal(raw, &lines) == nil {
		for rank, line := range lines {
			left, right, ok := strings.Cut(line, " ")
			if !ok {
				return nil, nil, fmt.Errorf("model.merges: merge %d, %q, is not two tokens with a space between", rank, line)
			}
			list = append(list, [2]string{left, right})
		}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, nil, fmt.Errorf("model.merges: %w", err)
	}
	merges, results = make([]pair, len(list)), make([]uint32, len(list))
	for rank, m := range list {
		left, ok1 := ids[m[0]]
		right, ok2 := ids[m[1]]
		if !ok1 || !ok2 {
			return nil, nil, fmt.Errorf("model.merges: merge %d, %q, names a token that is not in model.vocab", rank, m)
		}
		result, ok := ids[m[0]+m[1]]
		if !ok {
			return nil, nil, fmt.Errorf("model.merges: merge %d makes %q, which is not in model.vocab", rank, m[0]+m[1])
		}
		merges[rank], results[rank] = pair{left, right}, result
	}
	return merges, results, nil
}
