"""Trains small tokenizers with the settings of each family and writes what ids they give: vocabularies.py OUT [--golden]

Each becomes OUT/NAME.json, as Hugging Face's tokenizers saves it, and OUT/NAME.ids.json: rows of text, its ids, the text that these stand for,
and where they differ the ids where special tokens are plain text.
"""

import argparse, json, os, random
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(text, vocab, pre, special, normalizer=None, ignore=False):
    t = Tokenizer(models.BPE(ignore_merges=ignore))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special, show_progress=False))
    return t


def gpt2(text, vocab):
    return byte_level(text, vocab, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])


def smollm2(text, vocab):
    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return byte_level(text, vocab, pre, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def llama3(text, vocab):
    t = byte_level(text, vocab, split(LLAMA3), [], ignore=True)
    t.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    first = processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B:1",
                                          special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), first])
    return t


def qwen2(text, vocab):
    t = byte_level(text, vocab, split(QWEN2), [], normalizers.NFC())
    t.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    return t


def sentencepiece(text, vocab, metaspace, normalized=False):
    """BPE of characters with ▁ for spaces, made from the text with merges that do not cross words, as Llama 2's was."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=vocab, special_tokens=special, show_progress=False, limit_alphabet=90))
    model = json.loads(t.to_str())["model"]
    # runs of spaces, which training word by word does not make
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    for n in (2, 4, 8):
        model["vocab"]["▁" * n] = len(model["vocab"])
        merges.append(("▁" * (n // 2), "▁" * (n // 2)))
    t = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, normalized=normalized) for s in ("<unk>", "<s>", "</s>")])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", t.token_to_id("<s>"))])
    return t


FAMILIES = {
    "gpt2": gpt2,
    "smollm2": smollm2,
    "llama3": llama3,
    "qwen2": qwen2,
    "llama2": lambda text, vocab: sentencepiece(text, vocab, False),
    "llama2-normalized": lambda text, vocab: sentencepiece(text, vocab, False, True),
    "llama2-metaspace": lambda text, vocab: sentencepiece(text, vocab, True),
}


def nasty(rng, count, words):
    yield from [
        "", " ", "  ", "\n", "\r\n\r\n", "a", " a", "  a", "\ta", "\n a", "a \n b", "a\n\n\n  b   ", "   \n   \n   x", "▁", " ▁a ▁▁b▁",
        "Hello, World! It's what they're saying; I'LL don't we've he'd I'm 'tis 's 'S 'ſt ''s '' s",
        "if x != nil {\n\t\treturn fmt.Errorf(\"%w: %d\", err, 12345678)\n\t}\n",
        "1 12 123 1234  12345 3.14159 1,000,000 ½ ² ٣٤٥٦ 一二三 Ⅷ  7   8\n9\t 10",
        "naïve café cafe\u0301 Zürich straße ŉ ﬁ \u212b \u1e9b\u0323", "e\u0301\u0302\u0303 \u0301 \u0301a 1\u0301 .\u0301", "\u0344 \u0958 각 \u1100\u1161\u11a8",
        "你好，世界。こんにちは世界 안녕하세요 ｆｕｌｌ", "שלום עולם مرحبا بالعالم \u202eabc\u202c \u200fx", "नमस्ते दुनिया வணக்கம் สวัสดี ภาษาไทย ខ្មែរ",
        "😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ❤️ a😀b", "\u00a0x \u3000y \u2028z\u2029 \u0085 w \u200b \ufeff v", "\x00\x01\x1b[31m\x7f \x1c \x1f", "\ufffd \U0010ffff \ue000",
        "......!!!???---===>>><<<", " ...\n\n\n...\r\n...\r", "x" * 300, " " * 300, "\n" * 70, "ab" * 200 + "1" * 50, (" " * 7 + "\t") * 20 + "end", "你" * 100,
        "<s>", "<s>a</s>", "a <s> b", "<|endoftext|>", "a<|endoftext|>b <|im_start|>user\nhi<|im_end|>", "<|begin_of_text|>x<|end_of_text|> <|eot_id|>", "<unk>",
        "<tool_call>{}</tool_call> <tool_call", "<0x41>", "<|endoftex t|> <| |> <s", "</s> </s>",
    ]
    alphabet = list("  \t\n\rabzAZ'''stmdrevl019.,!_-{}\"") + list("éßſ\u0301½٣你ไ한\u00a0\u2028😀\u200d\ufeffא▁") + ["<s>", "</s>", "<|endoftext|>", "<|im_end|>", "<tool_call>"]
    for n in range(count):
        yield "".join(rng.choice(alphabet if rng.random() < 0.7 else words) for _ in range(rng.randrange(1, 60)))


p = argparse.ArgumentParser()
p.add_argument("out")
p.add_argument("--golden", action="store_true")
a = p.parse_args()
os.makedirs(a.out, exist_ok=True)
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
train = open(os.path.join(root, "model/token/testdata/train.txt")).read()
if not a.golden:
    train += "".join(open(os.path.join(root, "docs", f)).read() for f in sorted(os.listdir(os.path.join(root, "docs"))) if f.endswith(".md"))
train = train.splitlines(keepends=True)
words = sorted(set(" ".join(train).split()))
for name, make in FAMILIES.items():
    t = make(train, 420 if a.golden and not name.startswith("llama2") else 3000 if not a.golden else 600)
    t.save(os.path.join(a.out, name + ".json"), pretty=False)
    rows = []
    for text in nasty(random.Random(1), 25 if a.golden else 3000, words):
        if a.golden and len(text) > 120:
            continue
        t.encode_special_tokens = False
        ids = t.encode(text, add_special_tokens=False).ids
        t.encode_special_tokens = True
        row = [text, ids, t.decode(ids, skip_special_tokens=False)]
        plain = t.encode(text, add_special_tokens=False).ids
        rows.append(row if plain == ids else row + [plain])
    with open(os.path.join(a.out, name + ".ids.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows) + "\n]\n")
    print(name, t.get_vocab_size(), len(rows))
