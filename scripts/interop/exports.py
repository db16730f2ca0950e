"""Checks what saltern export writes: exports.py SALTERN TOKENIZERS WORK [CHECKPOINT]

Models of each family with a tokenizer of theirs, made here with transformers, and CHECKPOINT, one of Saltern's own, are exported
by the binary SALTERN. transformers loads the folders and must give the same logits, which it leaves there for Saltern; the gguf package reads the files; llama.cpp, where
llama-cpp-python is installed, must make the same ids of texts and the same text, taking the most likely token each time.
"""

import json, os, shutil, subprocess, sys
import numpy, torch
import gguf
import transformers as hf
from safetensors.torch import save_file
from tokenizers import Tokenizer

try:
    import llama_cpp
except ImportError:
    llama_cpp = None

saltern, tokenizers, work = sys.argv[1:4]
own = sys.argv[4:]
torch.set_num_threads(1)
SMALL = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
             initializer_range=0.15, tie_word_embeddings=False)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
MODELS = {  # name: tokenizer, configuration
    "llama2": ("llama2", hf.LlamaConfig(**SMALL)),
    "llama3": ("llama3", hf.LlamaConfig(**SMALL, rope_parameters=LLAMA3)),
    "smollm2": ("smollm2", hf.LlamaConfig(**dict(SMALL, tie_word_embeddings=True))),
    "linear": ("gpt2", hf.LlamaConfig(**SMALL, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))),
    "qwen2": ("qwen2", hf.Qwen2Config(**SMALL)),
    "qwen3": ("qwen2", hf.Qwen3Config(**SMALL, head_dim=32)),
    "gpt2": ("gpt2", hf.GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=128, initializer_range=0.15)),
}
TEXTS = ["The tokenizer cuts a text into pieces.", "  two spaces,\n\n\tand 12345 numbers; it's naïve 你好 😀 done", "a", "func main() { return 42 }"]


def run(*args):
    p = subprocess.run([saltern, *args], capture_output=True)
    if p.returncode:
        sys.exit("%s: %s" % (args, p.stderr.decode()))
    return p.stdout.decode(errors="replace")


def make(name, tokenizer, config):
    folder = os.path.join(work, name)
    shutil.rmtree(folder, ignore_errors=True)
    t = Tokenizer.from_file(os.path.join(tokenizers, tokenizer + ".json"))
    config.vocab_size = t.get_vocab_size() + 5  # as real models have some more than their tokenizer
    torch.manual_seed(len(name))
    model = hf.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.2)
    model.save_pretrained(folder)
    shutil.copy(os.path.join(tokenizers, tokenizer + ".json"), os.path.join(folder, "tokenizer.json"))
    return folder


def logits(folder, ids):
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


def check_folder(name, folder):
    out = os.path.join(work, "hf", name)
    shutil.rmtree(out, ignore_errors=True)
    run("export", "--format", "hf", folder, out)
    t = hf.AutoTokenizer.from_pretrained(out)
    reference = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    for text in TEXTS:
        assert t(text, add_special_tokens=False)["input_ids"] == reference.encode(text, add_special_tokens=False).ids, (name, text)
    assert t.eos_token_id is not None and t.bos_token_id is not None
    ids = reference.encode(TEXTS[1], add_special_tokens=False).ids[:60]
    save_file({"ids": torch.tensor([ids]).float(), "logits": logits(out, ids)[None].contiguous()}, os.path.join(out, "expected.safetensors"))
    worst = (logits(out, ids) - logits(folder, ids)).abs().max().item()
    assert worst <= 1e-5, (name, worst)
    print("%-8s hf    logits differ by %.1e" % (name, worst))


def check_gguf(name, folder, kind):
    out = os.path.join(work, name + "-" + kind + ".gguf")
    run("export", "--format", "gguf", "--type", kind, folder, out)
    r = gguf.GGUFReader(out)
    config = json.load(open(os.path.join(folder, "config.json")))
    arch = r.get_field("general.architecture").contents()
    assert arch == {"qwen2": "qwen2", "qwen3": "qwen3"}.get(config["model_type"], "llama"), arch
    assert r.get_field(arch + ".embedding_length").contents() == config["hidden_size"]
    assert len(r.get_field("tokenizer.ggml.tokens").contents()) == config["vocab_size"]
    by_name = {t.name: t for t in r.tensors}
    embed = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).get_input_embeddings().weight.detach().numpy()
    got = numpy.array(by_name["token_embd.weight"].data, dtype=numpy.float32).reshape(embed.shape)
    assert numpy.abs(got - embed).max() <= (0 if kind == "f32" else 1e-3), name
    assert by_name["blk.0.attn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    print("%-8s gguf  %s, %d tensors" % (name, kind, len(r.tensors)))
    if llama_cpp is None:
        return
    m = llama_cpp.Llama(out, n_ctx=256, n_threads=1, verbose=False, logits_all=False)
    reference = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    same = 0
    for text in TEXTS:
        ids = reference.encode(text, add_special_tokens=False).ids
        if m.tokenize(text.encode(), add_bos=False, special=False) == ids:
            same += 1
        else:
            print("%-8s llama.cpp makes other ids of %r" % (name, text))
    assert same >= len(TEXTS) - (1 if arch == "llama" and name == "llama2" else 0), name
    if kind != "f32":
        return
    for text in TEXTS[:2]:
        want = run("generate", "--temperature", "0", "--tokens", "24", "--prompt", text, folder)
        ids = m.tokenize(text.encode(), add_bos=True, special=True)
        got, n = [], 0
        for id in m.generate(ids, temp=0, top_k=1, repeat_penalty=1.0, reset=True):
            if n == 24 or id == m.token_eos():
                break
            got.append(id)
            n += 1
        have = text + reference.decode(got, skip_special_tokens=False)  # llama-cpp-python's own cuts tokens at 32 bytes
        plain = lambda s: s.replace("\ufffd", "").replace(" ", "").strip()
        assert plain(have) == plain(want), (name, have, want)
    print("%-8s llama.cpp writes the same text" % name)


os.makedirs(work, exist_ok=True)
folders = {name: make(name, *m) for name, m in MODELS.items()}
if own:
    folders["own"] = own[0]
for name, folder in folders.items():
    check_folder(name, folder)
    if name == "gpt2":
        p = subprocess.run([saltern, "export", "--format", "gguf", folder, os.path.join(work, "no.gguf")], capture_output=True)
        assert p.returncode and b"the family gpt2 is not written as GGUF" in p.stderr, p.stderr
        continue
    for kind in ("f32", "f16"):
        check_gguf(name, folder, kind)
if llama_cpp is None:
    print("NOT CHECKED: what llama.cpp makes of the files; pip install llama-cpp-python")
