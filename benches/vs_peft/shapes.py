"""Shapes of the models that are compared, what lies in their files, and how much arithmetic a training step takes."""
import dataclasses, json, math, pathlib


@dataclasses.dataclass(frozen=True)
class Shape:
    family: str  # model_type in config.json
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    positions: int
    rms_eps: float
    rope_theta: float

    def linears(self):
        """(name, outputs, inputs) of the linear layers of one block: what "all-linear" adapts."""
        q, kv, h, i = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.hidden, self.intermediate
        return [("self_attn.q_proj", q, h), ("self_attn.k_proj", kv, h), ("self_attn.v_proj", kv, h), ("self_attn.o_proj", h, q),
                ("mlp.gate_proj", i, h), ("mlp.up_proj", i, h), ("mlp.down_proj", h, i)]

    def has_bias(self, linear):
        return self.family == "qwen2" and linear.rpartition(".")[2] in ("q_proj", "k_proj", "v_proj")

    def tensors(self):
        """(name, shape) in order of names, as safetensors asks. The output head is the embedding."""
        out = [("model.embed_tokens.weight", (self.vocab, self.hidden)), ("model.norm.weight", (self.hidden,))]
        for layer in range(self.layers):
            p = f"model.layers.{layer}."
            out += [(f"{p}{norm}.weight", (self.hidden,)) for norm in ("input_layernorm", "post_attention_layernorm")]
            for name, outputs, inputs in self.linears():
                out.append((f"{p}{name}.weight", (outputs, inputs)))
                out += [(f"{p}{name}.bias", (outputs,))] if self.has_bias(name) else []
        return sorted(out)

    def parameters(self):
        return sum(math.prod(shape) for _, shape in self.tensors())


SHAPES = {
    "smol135m": Shape("llama", 576, 1536, 30, 9, 3, 64, 49152, 8192, 1e-5, 1e5),  # SmolLM2-135M
    "qwen0.5b": Shape("qwen2", 896, 4864, 24, 14, 2, 64, 151936, 32768, 1e-6, 1e6),  # Qwen2.5-0.5B
}


def config(shape, dtype, eos_id, pad_id):
    """config.json of a random model of this shape."""
    architectures = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
    own = {"llama": {"attention_bias": False, "mlp_bias": False}, "qwen2": {"use_sliding_window": False}}
    return {
        "architectures": [architectures[shape.family]], "model_type": shape.family, "dtype": dtype,
        "hidden_size": shape.hidden, "intermediate_size": shape.intermediate, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
        "vocab_size": shape.vocab, "tie_word_embeddings": True, "max_position_embeddings": shape.positions,
        "rms_norm_eps": shape.rms_eps, "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "hidden_act": "silu", "attention_dropout": 0.0, "use_cache": True, "initializer_range": 0.02,
        "bos_token_id": None, "eos_token_id": eos_id, "pad_token_id": pad_id, **own[shape.family],
    }


def of_folder(model):
    """The shape that a model folder's config.json describes."""
    c = json.loads((pathlib.Path(model) / "config.json").read_text(encoding="utf-8"))
    heads = c["num_attention_heads"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    return Shape(c["model_type"], c["hidden_size"], c["intermediate_size"], c["num_hidden_layers"], heads, c.get("num_key_value_heads", heads),
                 head_dim, c["vocab_size"], c["max_position_embeddings"], c["rms_norm_eps"], c.get("rope_theta", 0.0))


def step_flops(shape, rows, r):
    """Floating-point operations that one optimiser step cannot do without, on rows of (tokens, targets): nothing for
    padding, for logits without a target, or for computing anything again. The same number for every program.

    A product of n rows with a matrix takes 2·n·size. Frozen weights: forward, and the gradient of the input (not that of
    the lowest layer's q, k and v, below which nothing is trained). LoRA: A and B forward, their inputs' and their own
    gradients. Attention: two products over the causal half forward, four backward."""
    tokens, targets = sum(t for t, _ in rows), sum(t for _, t in rows)
    size = sum(o * i for _, o, i in shape.linears())
    lowest = sum(o * i for name, o, i in shape.linears() if name.endswith(("q_proj", "k_proj", "v_proj")))
    linear = 2 * tokens * (2 * shape.layers * size - lowest)
    head = 2 * 2 * targets * shape.vocab * shape.hidden
    lora = 3 * 2 * tokens * shape.layers * sum(r * (o + i) for _, o, i in shape.linears())
    pairs = sum(t * (t + 1) // 2 for t, _ in rows)
    attention = 6 * 2 * pairs * shape.head_dim * shape.heads * shape.layers
    return linear + head + lora + attention
