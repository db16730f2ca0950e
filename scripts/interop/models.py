"""Makes small random models of each family with transformers, and what they say: models.py OUT [--golden]

Each becomes a folder of OUT as transformers saves it, and expected.safetensors with ids [B,T] and the logits [B,T,V] of its
float32 forward pass. --golden makes fewer and smaller ones, for the repository.
"""

import argparse, os, torch
from safetensors.torch import save_file
import transformers as hf


def shape(golden, **more):
    small = dict(vocab_size=23, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
                 max_position_embeddings=64)
    large = dict(vocab_size=211, hidden_size=48, intermediate_size=100, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
                 max_position_embeddings=256)
    return dict(small if golden else large, initializer_range=0.3 if golden else 0.15, tie_word_embeddings=False, **more)


def rope(kind, **more):
    return {"rope_parameters": dict(rope_type=kind, rope_theta=10000.0, **more)}


LLAMA3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)

# name, configuration class, what differs from shape(), element type, size of a file; None: one file
MODELS = [
    ("llama2", hf.LlamaConfig, dict(num_key_value_heads=None), torch.float32, None),
    ("llama3", hf.LlamaConfig, LLAMA3, torch.bfloat16, None),
    ("llama-linear", hf.LlamaConfig, rope("linear", factor=4.0), torch.float16, None),
    ("tinyllama", hf.LlamaConfig, dict(rms_norm_eps=1e-5), torch.float32, "20KB"),
    ("smollm2", hf.LlamaConfig, dict(tie_word_embeddings=True), torch.float32, None),
    ("mistral", hf.MistralConfig, dict(sliding_window=None, head_dim=16), torch.float32, None),
    ("qwen2", hf.Qwen2Config, dict(tie_word_embeddings=True), torch.float32, None),
    ("qwen2.5", hf.Qwen2Config, dict(), torch.bfloat16, "20KB"),
    ("qwen3", hf.Qwen3Config, dict(head_dim=16), torch.float32, None),
    ("gpt2", hf.GPT2Config, None, torch.float32, None),
]
GOLDEN = ["llama3", "llama-linear", "qwen2.5", "qwen3", "gpt2"]


def make(out, golden):
    for seed, (name, kind, more, dtype, shard) in enumerate(MODELS):
        if golden and name not in GOLDEN:
            continue
        torch.manual_seed(seed)
        if more is None:
            c = dict(n_embd=8, n_layer=1, n_head=2, n_positions=32, vocab_size=23) if golden else dict(n_embd=48, n_layer=3, n_head=4, n_positions=128, vocab_size=211)
            config = kind(**c, initializer_range=0.3 if golden else 0.15)
        else:
            config = kind(**dict(shape(golden), **more))
        if golden:
            dtype, shard = torch.float16 if dtype == torch.float32 else dtype, "1KB" if shard else None
        model = hf.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():  # transformers begins with biases of 0 and gains of 1, which would hide a mistake
            for n, p in model.named_parameters():
                if p.dim() == 1:
                    p.add_(torch.randn_like(p) * 0.3)
            for p in model.parameters():  # what the file will hold
                p.copy_(p.to(dtype).float())
        folder = os.path.join(out, name)
        model.eval()
        length = 24 if golden else min(100, 2 * config.max_position_embeddings // 3)
        ids = torch.randint(0, config.vocab_size, (1 if golden else 2, length))
        with torch.no_grad():
            logits = model(ids).logits
        model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        save_file({"ids": ids.float().contiguous(), "logits": logits.contiguous()}, os.path.join(folder, "expected.safetensors"))
        print(name, sorted(os.listdir(folder)))


p = argparse.ArgumentParser()
p.add_argument("out")
p.add_argument("--golden", action="store_true")
a = p.parse_args()
make(a.out, a.golden)
