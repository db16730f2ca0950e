#!/usr/bin/env python3
"""Compares saltern evaluate --task with EleutherAI's lm-evaluation-harness on a small model, task by task.

usage: python scripts/interop/evaluate.py [--golden]

Trains a small model for a few steps on Go's own source, gives its checkpoint the tokenizer_config.json that Hugging Face wants, runs the
tasks of jobs/tasks/testdata through both, and fails where a number differs. --golden also writes what the harness asked, was answered and
found into jobs/tasks/testdata/golden.json, for the test that needs no Python.

Needs lm_eval, torch and transformers, as make interop has them. Nothing is fetched from the network.
"""
import json, math, os, subprocess, sys, tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
data = os.path.join(root, "jobs", "tasks", "testdata")
tasks = ["choices", "questions", "lambada", "write"]

JOB = """
[corpus]
sources = ["$GOROOT/src/sort/*.go", "$GOROOT/src/strings/*.go"]
max_bytes = 300000
[tokenizer]
vocab_size = 400
[llm]
model = { width = 32, layers = 2, heads = 4, kv_heads = 2, context = 128 }
train = { steps = 40, batch = 8, lr = 0.01, precision = "float32" }
[distill]
method = "baseline"
"""


def lines(name):
    with open(os.path.join(data, name + ".jsonl")) as f:
        return [json.loads(l) for l in f if l.strip()]


def train(folder):
    """A checkpoint that Hugging Face loads."""
    with open(os.path.join(folder, "job.toml"), "w") as f:
        f.write(JOB)
    saltern = os.path.join(folder, "saltern")
    subprocess.run(["go", "build", "-o", saltern, "."], cwd=root, check=True)
    subprocess.run([saltern, "train", "--only", "baseline", "job.toml"], cwd=folder, check=True, stdout=sys.stderr)
    steps = os.path.join(folder, "runs", "job", "llm-baseline", "checkpoints")
    checkpoint = os.path.join(steps, max(s for s in os.listdir(steps) if s.startswith("step_")))
    with open(os.path.join(checkpoint, "config.json")) as f:
        end = json.load(f)["eos_token_id"]
    with open(os.path.join(checkpoint, "tokenizer.json")) as f:
        tokens = {t["id"]: t["content"] for t in json.load(f)["added_tokens"]}
    with open(os.path.join(checkpoint, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": tokens[end], "eos_token": tokens[end], "clean_up_tokenization_spaces": False}, f)
    return saltern, checkpoint


def harness(folder, checkpoint):
    """What the harness makes of each task."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    configs, raw = [], {}
    for name in tasks:
        docs = lines(name)
        head = docs.pop(0) if "output_type" in docs[0] else {}
        kind = head.get("output_type", "multiple_choice" if "choices" in docs[0] else "loglikelihood")
        raw[name] = docs
        def dump(suffix, list):
            path = os.path.join(folder, f"{name}{suffix}.jsonl")
            with open(path, "w") as f:
                f.writelines(json.dumps(d) + "\n" for d in list)
            return path
        files = {"test": dump("", docs)}
        if "fewshot" in head:
            files["train"] = dump("-fewshot", lines(head["fewshot"].removesuffix(".jsonl")))
        config = {
            "task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test",
            "fewshot_split": "train" if "fewshot" in head else "test", "fewshot_config": {"sampler": "first_n"},
            "output_type": kind, "num_fewshot": head.get("num_fewshot", 0),
            "doc_to_text": head.get("doc_to_text", "text"), "doc_to_target": head.get("doc_to_target", "target"),
            "description": head.get("description", ""), "target_delimiter": head.get("target_delimiter", " "),
            "fewshot_delimiter": head.get("fewshot_delimiter", "\n\n"),
        }
        if kind == "multiple_choice":
            config["doc_to_choice"] = head.get("doc_to_choice", "choices")
            metrics = ["acc", "acc_norm", "acc_bytes"]
        elif kind == "loglikelihood":
            metrics = ["acc", "perplexity"]
        else:
            metrics = ["exact_match"]
            config["generation_kwargs"] = {"until": head["until"], "max_gen_toks": head["max_gen_toks"], "do_sample": False}
        config["metric_list"] = [{"metric": m} for m in metrics]
        configs.append(config)
    found = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": checkpoint, "dtype": "float32"}, tasks=configs, batch_size=4, device="cpu",
        log_samples=True, bootstrap_iters=1000, task_manager=TaskManager(include_defaults=False))
    return found


def main():
    folder = tempfile.mkdtemp(prefix="saltern-interop-")
    saltern, checkpoint = train(folder)
    command = [saltern, "evaluate", "--json", "--batch", "4"]
    for name in tasks:
        command += ["--task", os.path.join(data, name + ".jsonl")]
    ours = json.loads(subprocess.run(command + [checkpoint], check=True, stdout=subprocess.PIPE).stdout)
    ours = ours.get("rows", ours) if isinstance(ours, dict) else ours
    theirs = harness(folder, checkpoint)
    wrong = 0
    for row in ours:
        result = theirs["results"][row["task"]]
        value, error = result.get(row["metric"] + ",none"), result.get(row["metric"] + "_stderr,none")
        if value is None:  # ece is ours alone
            continue
        # The harness draws the standard error of a perplexity; that is close to the one by the delta method for many documents alone.
        same = math.isclose(row["value"], value, rel_tol=2e-4, abs_tol=1e-6) and (
            row["metric"] == "perplexity" or math.isclose(row["stderr"], error, rel_tol=1e-6))
        wrong += not same
        print(f'{"same  " if same else "DIFFER"}  {row["task"]:10} {row["metric"]:12} {row["value"]:.6f} ± {row["stderr"]}   harness {value:.6f} ± {error}')
    if "--golden" in sys.argv:
        golden = []
        for name in tasks:
            samples = sorted(theirs["samples"][name], key=lambda s: s["doc_id"])
            requests = []
            for s in samples:
                for i, response in enumerate(s["resps"]):
                    arguments = s["arguments"][f"gen_args_{i}"] if isinstance(s["arguments"], dict) else s["arguments"][i]
                    context = arguments["arg_0"] if isinstance(arguments, dict) else arguments[0]
                    other = arguments["arg_1"] if isinstance(arguments, dict) else arguments[1]
                    response = response[0]
                    if isinstance(other, str):
                        requests.append({"context": context, "continuation": other, "loglikelihood": float(response[0]), "greedy": str(response[1]) == "True"})
                    else:
                        requests.append({"context": context, "written": response})
            metrics = {k.removesuffix(",none"): v for k, v in theirs["results"][name].items() if k.endswith(",none") and isinstance(v, float) and k != "perplexity_stderr,none"}
            golden.append({"task": name, "requests": requests, "metrics": metrics})
        with open(os.path.join(data, "golden.json"), "w") as f:
            json.dump(golden, f, indent=1)
            f.write("\n")
    sys.exit(1 if wrong else 0)


main()
