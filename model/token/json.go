package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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

type splitStep struct {
	Type    string `json:"type"`
	Pattern struct {
		Regex string `json:"Regex"`
	} `json:"pattern"`
	Behavior string `json:"behavior"`
	Invert   bool   `json:"invert"`
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

// Load reads a tokenizer.json: byte-level BPE with one of the patterns known here and one special token, <|endoftext|>, or those for
// denoising as well. Any other feature that would change ids is an error that names it.
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

// Parse reads the text of a tokenizer.json; what it cannot honour it names.
func Parse(data []byte) (*Tokenizer, error) {
	var f file
	if err := strict(data, &f); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json that can be read here: %w", err)
	}
	if err := f.supported(); err != nil {
		return nil, err
	}
	r, err := parsePattern(f.PreTokenizer)
	if err != nil {
		return nil, err
	}
	end, denoising, err := parseAdded(f.AddedTokens)
	if err != nil {
		return nil, err
	}
	tokens, ids, err := parseVocab(f.Model.Vocab, f.AddedTokens)
	if err != nil {
		return nil, err
	}
	merges, err := parseMerges(f.Model.Merges, ids)
	if err != nil {
		return nil, err
	}
	return build(r, tokens, merges, end, denoising)
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

// supported reports the first feature of f that this package does not have.
func (f *file) supported() error {
	unsupported := func(feature string, value any) error {
		return fmt.Errorf("unsupported: %s = %v; only byte-level BPE without it can be used here", feature, value)
	}
	m := &f.Model
	switch {
	case f.Version != "1.0":
		return unsupported("version", f.Version)
	case !isNull(f.Truncation):
		return unsupported("truncation", brief(f.Truncation))
	case !isNull(f.Padding):
		return unsupported("padding", brief(f.Padding))
	case !isNull(f.Normalizer):
		return unsupported("normalizer", brief(f.Normalizer))
	case m.Type != "BPE":
		return unsupported("model.type", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return unsupported("model.dropout", *m.Dropout)
	case m.UnkToken != nil:
		return unsupported("model.unk_token", *m.UnkToken)
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "":
		return unsupported("model.continuing_subword_prefix", *m.ContinuingSubwordPrefix)
	case m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return unsupported("model.end_of_word_suffix", *m.EndOfWordSuffix)
	case m.ByteFallback:
		return unsupported("model.byte_fallback", true)
	case m.IgnoreMerges:
		return unsupported("model.ignore_merges", true)
	}
	// lstrip, rstrip, single_word and normalized only matter where special tokens are looked for in text.
	if !isByteLevel(f.Decoder) {
		return fmt.Errorf("unsupported: decoder = %s; only ByteLevel can be used here", brief(f.Decoder))
	}
	if !isNull(f.PostProcessor) && !isByteLevel(f.PostProcessor) {
		return unsupported("post_processor", brief(f.PostProcessor))
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

// parsePattern reads the pre-tokenizer: a Split by a known pattern, then ByteLevel.
func parsePattern(raw json.RawMessage) (rules, error) {
	var seq struct {
		Type  string            `json:"type"`
		Steps []json.RawMessage `json:"pretokenizers"`
	}
	var split splitStep
	var level byteLevel
	if strict(raw, &seq) != nil || seq.Type != "Sequence" || len(seq.Steps) != 2 ||
		strict(seq.Steps[0], &split) != nil || split.Type != "Split" || split.Behavior != "Isolated" || split.Invert ||
		strict(seq.Steps[1], &level) != nil || level.Type != "ByteLevel" || level.AddPrefixSpace || level.UseRegex == nil || *level.UseRegex {
		return rules{}, fmt.Errorf("unsupported: pre_tokenizer = %s; only a Split (Isolated) followed by ByteLevel without prefix space and regex can be used here", brief(raw))
	}
	for _, r := range known() {
		if r.pattern == split.Pattern.Regex {
			return r, nil
		}
	}
	return rules{}, fmt.Errorf("unsupported: pre_tokenizer pattern %s; only the patterns of this program, Llama 3 and Qwen 2 can be used here", split.Pattern.Regex)
}

// parseAdded returns the id of the end-of-text token, and the first of those for denoising, 0 where there are none.
func parseAdded(list []addedToken) (end, denoising uint32, err error) {
	known := append([]string{EndOfText}, spellings()...)
	for i, t := range list {
		switch {
		case !slices.Contains(known, t.Content):
			return 0, 0, fmt.Errorf("unsupported: added_tokens = %q; only %s and those for denoising can be used here", t.Content, EndOfText)
		case i == 0:
			end = t.ID
		case i == 1:
			denoising = t.ID
		}
		if i >= len(known) || t.Content != known[i] || i > 0 && (denoising == 0 || t.ID != denoising+uint32(i-1)) {
			return 0, 0, fmt.Errorf("added_tokens must hold %s once and then either nothing or %s to %s, each once with ids in a row; token %d is %q with id %d",
				EndOfText, known[1], known[denoisingTokens], i, t.Content, t.ID)
		}
	}
	if len(list) != 1 && len(list) != len(known) {
		return 0, 0, fmt.Errorf("added_tokens must hold %s once, or the %d tokens for denoising as well; it has %d tokens", EndOfText, denoisingTokens, len(list))
	}
	return end, denoising, nil
}

// parseVocab returns the tokens by id, and the ids by spelling.
func parseVocab(raw json.RawMessage, added []addedToken) ([][]byte, map[string]uint32, error) {
	var ids map[string]uint32
	if err := json.Unmarshal(raw, &ids); err != nil {
		return nil, nil, fmt.Errorf("model.vocab: %w", err)
	}
	special := map[string]bool{}
	for _, t := range added {
		if id, ok := ids[t.Content]; ok && id != t.ID {
			return nil, nil, fmt.Errorf("%s is %d in added_tokens and %d in model.vocab", t.Content, t.ID, id)
		}
		ids[t.Content] = t.ID // files may list it in added_tokens only
		special[t.Content] = true
	}
	tokens := make([][]byte, len(ids))
	for text, id := range ids {
		if int64(id) >= int64(len(ids)) {
			return nil, nil, fmt.Errorf("model.vocab: token %q has id %d, but there are only %d tokens; ids must have no gaps", text, id, len(ids))
		}
		if tokens[id] != nil {
			return nil, nil, fmt.Errorf("model.vocab: id %d is given to two tokens, %q and another", id, text)
		}
		if special[text] {
			tokens[id] = []byte(text)
			continue
		}
		b, ok := invisible(text)
		if !ok {
			return nil, nil, fmt.Errorf("model.vocab: token %d, %q, is not spelled in the byte-level alphabet", id, text)
		}
		tokens[id] = b
	}
	return tokens, ids, nil
}

// parseMerges reads merges in either form, "a b" or ["a","b"].
func parseMerges(raw json.RawMessage, ids map[string]uint32) ([]pair, error) {
	var list [][2]string
	var lines []string
	if json.Unmarshal(raw, &lines) == nil {
		for rank, line := range lines {
			left, right, ok := strings.Cut(line, " ")
			if !ok {
				return nil, fmt.Errorf("model.merges: merge %d, %q, is not two tokens with a space between", rank, line)
			}
			list = append(list, [2]string{left, right})
		}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("model.merges: %w", err)
	}
	merges := make([]pair, len(list))
	for rank, m := range list {
		left, ok1 := ids[m[0]]
		right, ok2 := ids[m[1]]
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("model.merges: merge %d, %q, names a token that is not in model.vocab", rank, m)
		}
		merges[rank] = pair{left, right}
	}
	return merges, nil
}
