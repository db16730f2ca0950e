package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads the text of a tokenizer.json; what it cannot honour it names.
func Parse(data []byte) (*Tokenizer, error) {
	var f file
	if err := strict(data, &f); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json that can be read here: %w", err)
	}
	if err := f.supported(); err != nil {
		return nil, err
	}
	t := &Tokenizer{foreign: &foreign{unknown: noToken, fallback: f.Model.ByteFallback, fuse: f.Model.FuseUnk}}
	if err := t.parseSteps(&f); err != nil {
		return nil, err
	}
	if err := t.parseAdded(f.AddedTokens); err != nil {
		return nil, err
	}
	ids, err := t.parseVocab(f.Model.Vocab, f.AddedTokens)
	if err != nil {
		return nil, err
	}
	if err := t.parseUnknown(f.Model.UnkToken, ids); err != nil {
		return nil, err
	}
	merges, results, err := parseMerges(f.Model.Merges, ids)
	if err != nil {
		return nil, err
	}
	if f.Model.IgnoreMerges {
		t.whole = t.wholes(ids, f.AddedTokens)
	}
	if t.split.spaces == uncut && t.cutsAtRuns(results) && t.whole == nil {
		t.split.spaces = beforeRuns
	}
	if t.foreign.before, err = parseFrame(f.PostProcessor, ids); err != nil {
		return nil, err
	}
	if t.own(&f) {
		t.foreign = nil
	} else if t.foreign.rest, err = f.rest(); err != nil {
		return nil, err
	} else {
		t.foreign.raw = bytes.Clone(data)
	}
	return t, t.finish(merges, results)
}

// own tells a tokenizer that marshal can write: one as they are made here, perhaps with the pattern of another.
func (t *Tokenizer) own(f *file) bool {
	plain := len(t.foreign.before) == 0 && t.normal == (normalizer{}) && t.runes == nil && t.whole == nil && t.foreign.unknown == noToken && !t.split.gpt2
	return plain && (len(f.AddedTokens) == 1 || t.denoising > 0) && f.AddedTokens[0].Content == EndOfText
}

// rest is the file without vocabulary and merges.
func (f file) rest() ([]byte, error) {
	f.Model.Vocab, f.Model.Merges = nil, nil
	text, err := json.Marshal(f)
	return text, err
}

func unsupported(feature string, value any) error {
	return fmt.Errorf("unsupported: %s = %v; only BPE without it can be used here", feature, value)
}

// supported reports the first feature of f that this package does not have, but for the steps before and after the model.
func (f *file) supported() error {
	m := &f.Model
	switch {
	case f.Version != "1.0":
		return unsupported("version", f.Version)
	case !isNull(f.Truncation):
		return unsupported("truncation", brief(f.Truncation))
	case !isNull(f.Padding):
		return unsupported("padding", brief(f.Padding))
	case m.Type != "BPE":
		return unsupported("model.type", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return unsupported("model.dropout", *m.Dropout)
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "":
		return unsupported("model.continuing_subword_prefix", *m.ContinuingSubwordPrefix)
	case m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return unsupported("model.end_of_word_suffix", *m.EndOfWordSuffix)
	}
	return nil
}

// step is any step of a tokenizer.json.
type step struct {
	Type    string `json:"type"`
	Prepend string `json:"prepend"`
	Pattern struct {
		String string `json:"String"`
		Regex  string `json:"Regex"`
	} `json:"pattern"`
	Content          string            `json:"content"`
	Behavior         string            `json:"behavior"`
	Invert           bool              `json:"invert"`
	AddPrefixSpace   bool              `json:"add_prefix_space"`
	UseRegex         *bool             `json:"use_regex"` // nil, as in older files, is true
	IndividualDigits bool              `json:"individual_digits"`
	Replacement      string            `json:"replacement"`
	PrependScheme    string            `json:"prepend_scheme"`
	Split            *bool             `json:"split"` // nil is true
	Start            int               `json:"start"`
	Stop             int               `json:"stop"`
	TrimOffsets      bool              `json:"trim_offsets"`
	Normalizers      []json.RawMessage `json:"normalizers"`
	PreTokenizers    []json.RawMessage `json:"pretokenizers"`
	Decoders         []json.RawMessage `json:"decoders"`
	Processors       []json.RawMessage `json:"processors"`
}

// steps lists a step, or those of a sequence.
func steps(raw json.RawMessage) (list []step, err error) {
	if isNull(raw) {
		return nil, nil
	}
	var s step
	if err := strict(raw, &s); err != nil {
		return nil, err
	}
	if s.Type != "Sequence" {
		return []step{s}, nil
	}
	for _, inner := range slices.Concat(s.Normalizers, s.PreTokenizers, s.Decoders, s.Processors) {
		more, err := steps(inner)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// parseSteps reads normalizer, pre-tokenizer and decoder, which go together in two ways: on bytes, or with ▁ for spaces.
func (t *Tokenizer) parseSteps(f *file) error {
	list, err := steps(f.Normalizer)
	if err != nil || !t.parseNormalizer(list) {
		return fmt.Errorf("unsupported: normalizer = %s; NFC, or Prepend and Replace with %s can be used here", brief(f.Normalizer), mark)
	}
	list, err = steps(f.PreTokenizer)
	if err != nil {
		return unsupported("pre_tokenizer", brief(f.PreTokenizer))
	}
	if err := t.parsePreTokenizer(list, f.PreTokenizer); err != nil {
		return err
	}
	list, err = steps(f.Decoder)
	if err != nil || !t.decodes(list) {
		return fmt.Errorf("unsupported: decoder = %s; only ByteLevel, or what undoes %s and <0x..>, can be used here", brief(f.Decoder), mark)
	}
	return nil
}

// parseNormalizer takes up the normalizer's steps, unless one is not known.
func (t *Tokenizer) parseNormalizer(list []step) bool {
	for _, s := range list {
		switch {
		case s.Type == "NFC" && t.normal == (normalizer{}):
			t.normal.nfc = true
		case s.Type == "Prepend" && s.Prepend == mark && !t.normal.marks:
			t.normal.prefix = alwaysOne
		case s.Type == "Replace" && s.Pattern.String == " " && s.Pattern.Regex == "" && s.Content == mark:
			t.normal.marks = true
		default:
			return false
		}
	}
	return t.normal.prefix == never || t.normal.marks
}

// parsePreTokenizer takes up how a text is cut.
func (t *Tokenizer) parsePreTokenizer(list []step, raw json.RawMessage) error {
	no := fmt.Errorf("unsupported: pre_tokenizer = %s; a Split (Isolated) by a known pattern followed by ByteLevel without prefix space and regex, ByteLevel alone or after Digits, or Metaspace can be used here", brief(raw))
	if len(list) == 0 && t.normal.marks { // the normalizer has done it all
		t.split.spaces = uncut
		return nil
	}
	if t.normal.marks || len(list) == 0 {
		return no
	}
	last := list[len(list)-1]
	switch {
	case last.Type == "Metaspace" && len(list) == 1:
		return t.parseMetaspace(last, no)
	case last.Type != "ByteLevel" || last.AddPrefixSpace || len(list) > 2:
		return no
	case last.UseRegex == nil || *last.UseRegex:
		r := rules{pattern: gpt2Pattern, gpt2: true}
		if len(list) == 2 {
			if list[0].Type != "Digits" || !list[0].IndividualDigits {
				return no
			}
			r.single = true
		}
		t.split = newSplitter(r)
		return nil
	case len(list) != 2 || list[0].Type != "Split" || list[0].Behavior != "Isolated" || list[0].Invert:
		return no
	}
	for _, r := range known() {
		if r.pattern == list[0].Pattern.Regex {
			t.split = newSplitter(r)
			return nil
		}
	}
	return fmt.Errorf("unsupported: pre_tokenizer pattern %s; only the patterns of this program, GPT-2, Llama 3 and Qwen 2 can be used here", list[0].Pattern.Regex)
}

// parseMetaspace takes up ▁ for spaces where it is a step of the pre-tokenizer.
func (t *Tokenizer) parseMetaspace(s step, no error) error {
	scheme, ok := map[string]prefix{"always": always, "first": first, "never": never}[s.PrependScheme]
	if !ok || s.Replacement != mark {
		return no
	}
	t.spaces = normalizer{marks: true, prefix: scheme}
	t.split.spaces = beforeEach
	if s.Split != nil && !*s.Split {
		t.split.spaces = uncut
	}
	return nil
}

// decodes tells whether a decoder makes the text that Decode makes.
func (t *Tokenizer) decodes(list []step) bool {
	if t.split.spaces == noSpaces {
		return len(list) == 1 && list[0].Type == "ByteLevel"
	}
	for _, s := range list {
		switch s.Type {
		case "ByteFallback", "Fuse", "Metaspace":
		case "Replace":
			if s.Pattern.String != mark || s.Content != " " {
				return false
			}
		case "Strip":
			if s.Content != " " || s.Start != 1 || s.Stop != 0 {
				return false
			}
		default:
			return false
		}
	}
	return len(list) > 0
}

// parseAdded takes up the added tokens: those of this program in their order, or any that are found as they stand.
func (t *Tokenizer) parseAdded(list []addedToken) error {
	f := t.foreign
	for _, a := range list {
		if a.SingleWord || a.LStrip || a.RStrip {
			return unsupported("added_tokens", fmt.Sprintf("%q with single_word, lstrip or rstrip", a.Content))
		}
		f.inText = f.inText || !a.Special
		if a.Normalized {
			f.normals.add(string(t.normal.apply([]byte(a.Content), true)), a.ID, a.Special)
		} else {
			f.raws.add(a.Content, a.ID, a.Special)
		}
	}
	end, ok := f.findEnd(list)
	if !ok {
		return fmt.Errorf("unsupported: added_tokens has none that ends a document; one of %s must be there", endingNames())
	}
	t.end = end
	names := spellings()
	i := slices.IndexFunc(list, func(a addedToken) bool { return slices.Contains(names, a.Content) })
	if i < 0 {
		return nil
	}
	for k, name := range names {
		if i != 1 || len(list) != 1+len(names) || list[i+k].Content != name || list[i+k].ID != list[i].ID+uint32(k) || list[i].ID == 0 || list[0].Content != EndOfText {
			return fmt.Errorf("added_tokens must hold %s once and then either none for denoising or %s to %s, each once with ids in a row", EndOfText, names[0], names[len(names)-1])
		}
	}
	t.denoising = list[i].ID
	return nil
}

// parseVocab takes up the tokens by id, and returns the ids by spelling.
func (t *Tokenizer) parseVocab(raw json.RawMessage, added []addedToken) (map[string]uint32, error) {
	var ids map[string]uint32
	if err := json.Unmarshal(raw, &ids); err != nil {
		return nil, fmt.Errorf("model.vocab: %w", err)
	}
	vocab := len(ids)
	marked := map[string]bool{}
	for _, a := range added {
		if id, ok := ids[a.Content]; ok && id != a.ID {
			return nil, fmt.Errorf("%s is %d in added_tokens and %d in model.vocab", a.Content, a.ID, id)
		}
		ids[a.Content] = a.ID // files may list it in added_tokens only
		marked[a.Content] = true
	}
	t.tokens = make([][]byte, len(ids))
	for i := range t.bytes {
		t.bytes[i] = noToken
	}
	if t.split.spaces != noSpaces {
		t.runes = make(map[rune]uint32, vocab/8)
	}
	for text, id := range ids {
		if int64(id) >= int64(len(ids)) {
			return nil, fmt.Errorf("model.vocab: token %q has id %d, but there are only %d tokens; ids must have no gaps", text, id, len(ids))
		}
		if t.tokens[id] != nil {
			return nil, fmt.Errorf("model.vocab: id %d is given to two tokens, %q and another", id, text)
		}
		var err error
		if marked[text] {
			t.tokens[id] = []byte(text)
		} else if t.tokens[id], err = t.stands(text, id); err != nil {
			return nil, err
		}
	}
	if t.runes == nil {
		return ids, t.lacks()
	}
	return ids, nil
}

// stands is what a token of the vocabulary stands for; one of a single byte or character is kept.
func (t *Tokenizer) stands(spelled string, id uint32) ([]byte, error) {
	if t.runes == nil {
		b, ok := invisible(spelled)
		if !ok {
			return nil, fmt.Errorf("model.vocab: token %d, %q, is not spelled in the byte-level alphabet", id, spelled)
		}
		if len(b) == 1 {
			t.bytes[b[0]] = id
		}
		return b, nil
	}
	if r, n := utf8.DecodeRuneInString(spelled); n == len(spelled) {
		t.runes[r] = id
	}
	if b, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(spelled, "<0x"), ">"), 16, 8); err == nil && spelled == fmt.Sprintf("<0x%02X>", b) && t.foreign.fallback {
		t.bytes[b] = id
		return []byte{byte(b)}, nil
	}
	return []byte(strings.ReplaceAll(spelled, mark, " ")), nil
}

// lacks is an error where a byte that may be part of text has no token.
func (t *Tokenizer) lacks() error {
	for b, id := range t.bytes {
		if never := b == 0xC0 || b == 0xC1 || b >= 0xF5; id == noToken && !never {
			return fmt.Errorf("the vocabulary has no token for byte 0x%02x, so some text could not be encoded", b)
		}
	}
	return nil
}

// parseUnknown takes up the token for what the vocabulary does not have.
func (t *Tokenizer) parseUnknown(name *string, ids map[string]uint32) error {
	if name == nil {
		return nil
	}
	id, ok := ids[*name]
	if !ok {
		return fmt.Errorf("model.unk_token = %q is not in model.vocab", *name)
	}
	t.foreign.unknown = id
	return nil
}

// wholes are the pieces that are tokens, as they stand in text; added tokens are none.
func (t *Tokenizer) wholes(ids map[string]uint32, added []addedToken) map[string]uint32 {
	list := make(map[string]uint32, len(ids))
	for spelled, id := range ids {
		if slices.ContainsFunc(added, func(a addedToken) bool { return a.ID == id }) {
			continue
		}
		if t.runes != nil {
			list[spelled] = id
		} else if b, ok := invisible(spelled); ok {
			list[string(b)] = id
		}
	}
	return list
}

// cutsAtRuns tells whether no merge joins what is on both sides of the beginning of a run of ▁.
func (t *Tokenizer) cutsAtRuns(results []uint32) bool {
	for _, id := range results {
		text := t.tokens[id] // in which ▁ is a space
		if i := bytes.IndexFunc(text, func(r rune) bool { return r != ' ' }); i >= 0 && bytes.IndexByte(text[i:], ' ') >= 0 {
			return false
		}
	}
	return true
}

// parseFrame returns what the post-processor puts before a text.
func parseFrame(raw json.RawMessage, ids map[string]uint32) (before []uint32, err error) {
	if isNull(raw) || isByteLevel(raw) {
		return nil, nil
	}
	no := unsupported("post_processor", brief(raw))
	var p struct {
		Type       string            `json:"type"`
		Processors []json.RawMessage `json:"processors"`
		Single     []struct {
			Special *struct {
				ID string `json:"id"`
			} `json:"SpecialToken"`
			Sequence *struct {
				ID string `json:"id"`
			} `json:"Sequence"`
		} `json:"single"`
	}
	if json.Unmarshal(raw, &p) != nil {
		return nil, no
	}
	switch p.Type {
	case "Sequence":
		for _, inner := range p.Processors {
			more, err := parseFrame(inner, ids)
			if err != nil {
				return nil, err
			}
			before = append(before, more...)
		}
		return before, nil
	case "TemplateProcessing":
		for _, s := range p.Single {
			switch {
			case s.Sequence != nil:
				return before, nil
			case s.Special == nil:
				return nil, no
			}
			id, ok := ids[s.Special.ID]
			if !ok {
				return nil, fmt.Errorf("post_processor: %q is not in model.vocab", s.Special.ID)
			}
			before = append(before, id)
		}
	}
	return nil, no
}
