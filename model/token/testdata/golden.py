"""Makes the golden files beside it from the reference implementation: pip install tokenizers; python golden.py

tokenizer.json is made by TestGolden -rewrite. Here Hugging Face's tokenizers reads it, and writes what ids it gives to each
text of texts(); pieces.json is how Oniguruma cuts the texts by each pattern that splits text here.
"""

import json, os, random, sys
from tokenizers import Tokenizer, Regex, pre_tokenizers, __version__

here = os.path.dirname(os.path.abspath(__file__))


def texts():
    yield from [
        "", " ", "  ", "\n", "\r\n\r\n", "a", " a", "  a", "\ta", "\n a", "a \n b", "a\n\n\n  b   ", "   \n   \n   x",
        "Hello, World! It's what they're saying; I'LL don't we've he'd I'm 'tis 's 'S '\u017f 'ſt",
        "if x != nil {\n\t\treturn fmt.Errorf(\"%w: %d\", err, 12345678)\n\t}\n",
        "1 12 123 1234 12345 3.14159 1,000,000 ½ ² ٣٤٥٦ 一二三 Ⅷ",
        "naïve café cafe\u0301 Zürich ſtraße ŉ ﬁ ﬅ", "e\u0301\u0302\u0303\u0304 \u0301 \u0301a 1\u0301 .\u0301 \u20dd",
        "你好，世界。こんにちは世界 안녕하세요 ｆｕｌｌ", "שלום עולם مرحبا بالعالم \u202eabc\u202c \u200fx", "नमस्ते दुनिया வணக்கம் สวัสดี ภาษาไทย ខ្មែរ",
        "😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ❤️ a😀b", "\u00a0x \u3000y \u2028z\u2029 \u0085 w \u180e \u200b \ufeff v", "\x00\x01\x1b[31m\x7f \x1c \x1f",
        "\ufffd \U0010ffff \ue000 \U000e0041 \u0378", "......!!!???---===>>><<<", " ...\n\n\n...\r\n...\r", "a\u000b\u000cb \u000b\u000c\n c",
        "x" * 300, " " * 300, "\n" * 300, "ab" * 700 + "1" * 50, (" " * 7 + "\t") * 20 + "end", "你" * 200,
        "https://example.org/a?b=c&d=%20#e_f-g", "snake_case camelCase SCREAMING_CASE x86_64 __init__", "<|endoftex t|> <| |>",
    ]
    rng = random.Random(1)
    alphabet = list("  \t\n\rabzAZ'''stmdrevl019.,!_-{}\"") + list("éßſ\u0301\u0302½٣你ไ한\u00a0\u2028\u0085😀\u200d\ufeffא")
    for n in range(400):
        yield "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 40)))


def write(name, header, rows):
    with open(os.path.join(here, name), "w") as f:
        f.write("[\n" + json.dumps(header) + ",\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


hf = Tokenizer.from_file(os.path.join(here, "tokenizer.json"))
made = "tokenizers " + __version__
write("ids.json", made, [[t, hf.encode(t).ids] for t in texts()])
for t in texts():
    assert hf.decode(hf.encode(t).ids) == t, t

patterns = json.load(open(os.path.join(here, "patterns.json")))
rows = []
for i, pattern in enumerate(patterns):
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    rows += [[i, [piece for piece, _ in split.pre_tokenize_str(t)]] for t in texts()]
write("pieces.json", made, rows)

# How each character is classed: runs of code points as [first, last, class] for letter, mark, number, space.
classes = {n: Regex(p) for n, p in zip("LMNS", [r"\p{L}", r"\p{M}", r"\p{N}", r"\s"])}
rows = []
for r in range(0x110000):
    if 0xD800 <= r < 0xE000:
        continue
    c = ""
    for n, p in classes.items():
        if pre_tokenizers.Split(p, "removed").pre_tokenize_str(chr(r)) == []:
            c += n
    if rows and rows[-1][2] == c and rows[-1][1] == r - 1:
        rows[-1][1] = r
    else:
        rows.append([r, r, c])
write("classes.json", made, [r for r in rows if r[2]])
