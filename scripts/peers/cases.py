"""The cases, as `attention bench` has them, and the data that it draws for them."""

import argparse
import re

import numpy

from peers import backward, layers

ACTIVATIONS = ["relu", "gelu", "geluTanh", "silu", "tanh", "sigmoid"]


def parse(name):
    if name.startswith(backward.PREFIX):
        return backward.parse(name, parse)
    if name.startswith(layers.PREFIX):
        return layers.parse(name)
    if name.startswith("zipf"):
        return parse_zipf(name)
    if name.startswith("linear"):
        return parse_linear(name)
    match = re.fullmatch(r"(?:b(\d+))?h(\d+)q(\d+)(?:k(\d+))?d(\d+)((?:-causal|-window\d+|-kv\d+|-v\d+)*)", name)
    if not match:
        raise argparse.ArgumentTypeError(f"{name} is not a case like b1h12q128k128d64-causal-kv4-v64 or …-window256")
    batch, heads, queries, keys, width = (size and int(size) for size in match.groups()[:5])
    # By the whole name: -v is no short form of another.
    flags = [re.fullmatch(r"([a-z]+)(\d*)", flag).groups() for flag in match[6].split("-")[1:]]
    suffixes = {suffix: size and int(size) for suffix, size in flags}
    if len(suffixes) < len(flags):
        raise argparse.ArgumentTypeError(f"{name}: a suffix is given twice")
    kv_heads = suffixes.get("kv", heads)
    batch, keys = 1 if batch is None else batch, queries if keys is None else keys
    if 0 in (batch, heads, queries, keys, width, suffixes.get("window"), suffixes.get("v")):
        raise argparse.ArgumentTypeError(f"{name}: sizes start at 1")
    if kv_heads == 0 or heads % kv_heads != 0:
        raise argparse.ArgumentTypeError(f"{name}: {heads} heads are not a multiple of {kv_heads} kv heads")
    case = {
        "B": batch, "H": heads, "Hkv": kv_heads, "Lq": queries, "Lk": keys, "dk": width,
        "dv": suffixes.get("v", width), "causal": "causal" in suffixes or "window" in suffixes,
        "window": suffixes.get("window"),
    }
    if case["causal"] and queries > keys:
        raise argparse.ArgumentTypeError(f"{name}: the first queries see no key, and the peers differ about such rows")
    return {"name": canonical(case), **case}


def parse_zipf(name):
    """A batch of unequal lengths, which peers pad to the longest and we do not."""
    match = re.fullmatch(r"zipf(\d+)x(\d+)(h\d+d\d+(?:-causal|-kv\d+|-v\d+)*)", name)
    if not match or "0" in match.groups()[:2]:
        raise argparse.ArgumentTypeError(f"{name} is not a case like zipf256x512h12d64-causal-kv4-v64")
    heads = match[3]
    split = heads.index("d")
    lengths = zipf_lengths(int(match[1]), int(match[2]))
    longest = max(lengths)
    case = parse(f"b{match[1]}{heads[:split]}q{longest}{heads[split:]}")
    return {**case, "name": name, "heads": heads, "source": f"zipf:{match[1]}x{match[2]}:0", "lengths": lengths}


def parse_linear(name):
    """A linear map with bias, and perhaps an activation."""
    match = re.fullmatch(rf"linear:(m(\d+)i(\d+)o(\d+)(?:-({'|'.join(ACTIVATIONS)}))?)", name)
    if not match or 0 in map(int, match.groups()[1:4]):
        raise argparse.ArgumentTypeError(f"{name} is not a case like linear:m12i384o1536-gelu")
    rows, inputs, outputs = map(int, match.groups()[1:4])
    plain = f"m{rows}i{inputs}o{outputs}" + (f"-{match[5]}" if match[5] else "")
    return {"name": f"linear:{plain}", "linear": plain, "m": rows, "i": inputs, "o": outputs, "activation": match[5]}


def zipf_lengths(count, longest):
    """Those of `attention bench ragged --lengths zipf:<count>x<longest>:0`, whatever --seed draws: length n with a
    probability in proportion to 1/n."""
    sums = numpy.cumsum(1 / numpy.arange(1, longest + 1))
    units = (xoshiro(0, count) & numpy.uint64((1 << 53) - 1)).astype(numpy.float64) * 2.0**-53
    return [int(index) + 1 for index in numpy.searchsorted(sums, units * sums[-1], side="right")]


def padding(case):
    """What would be useful if every sequence were as long as the longest, over what is."""
    return useful_gflop({**case, "lengths": None}) / useful_gflop(case)


def canonical(case):
    """The name under which our command reports the case, and from which it seeds the data."""
    name = "b{B}h{H}q{Lq}k{Lk}d{dk}".format(**case)
    name += f"-kv{case['Hkv']}" if case["Hkv"] != case["H"] else ""
    name += f"-v{case['dv']}" if case["dv"] != case["dk"] else ""
    return name + (f"-window{case['window']}" if case["window"] else "-causal" if case["causal"] else "")


def has_plain_causal(case):
    """Whether a peer's causal flag means ours: theirs is aligned to the start, ours to the end."""
    return case["causal"] and case["window"] is None and case["Lq"] == case["Lk"] and not case.get("lengths")


def allowed(case):
    """The cells [Lq, Lk] that a query sees, or None when it sees all. The last query stands at the last key.

    Of padded sequences the cells [B, 1, Lq or 1, Lk]; the first query stands at the first key."""
    if case.get("lengths"):
        is_key = numpy.arange(case["Lk"]) < numpy.array(case["lengths"])[:, None, None, None]
        return is_key & allowed({**case, "lengths": None}) if case["causal"] else is_key
    if not case["causal"]:
        return None
    own = numpy.arange(case["Lq"])[:, None] + case["Lk"] - case["Lq"]
    keys = numpy.arange(case["Lk"])[None, :]
    return (keys <= own) & (keys > own - (case["window"] or case["Lk"] + 1))


def useful_gflop(case):
    """The floating-point operations of both products over the visible cells; of a linear map, of its product."""
    if case.get("layer"):
        return layers.useful_gflop(case)
    if case.get("backward"):
        return backward.useful_gflop(case, useful_gflop(backward.attention_case(case)))
    if case.get("linear"):
        return 2e-9 * case["m"] * case["i"] * case["o"]
    if case.get("lengths"):
        alone = {**case, "lengths": None, "B": 1}
        return sum(useful_gflop({**alone, "Lq": length, "Lk": length}) for length in case["lengths"])
    own = numpy.arange(case["Lq"]) + case["Lk"] - case["Lq"]
    visible = numpy.minimum(own + 1, case["window"] or case["Lk"]).sum() if case["causal"] else case["Lq"] * case["Lk"]
    return 2e-9 * (case["dk"] + case["dv"]) * case["B"] * case["H"] * int(visible)


def step(state):
    """The next numbers of many generators xoshiro256**, whose states [4, n] are advanced."""
    scrambled = state[1] * numpy.uint64(5)
    result = (scrambled << numpy.uint64(7) | scrambled >> numpy.uint64(57)) * numpy.uint64(9)
    shifted = state[1] << numpy.uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = state[3] << numpy.uint64(45) | state[3] >> numpy.uint64(19)
    return result


def xoshiro(seed, count, lanes=2048):
    """The numbers of our SeededGenerator. The generator is linear over bits: a matrix jumps to each lane's start."""
    bits64 = (1 << 64) - 1
    words = []
    for index in range(1, 5):
        z = (seed + index * 0x9E3779B97F4A7C15) & bits64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & bits64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & bits64
        words.append(z ^ z >> 31)
    length = -(-count // lanes)
    bit = numpy.arange(256)
    columns = numpy.zeros((4, 256), dtype=numpy.uint64)  # each bit of a state alone, advanced by a lane's length
    columns[bit // 64, bit] = numpy.uint64(1) << (bit % 64).astype(numpy.uint64)
    for _ in range(length):
        step(columns)
    state = numpy.empty((4, lanes), dtype=numpy.uint64)
    current = numpy.array(words, dtype=numpy.uint64)
    for lane in range(lanes):
        state[:, lane] = current
        chosen = numpy.unpackbits(current.view(numpy.uint8), bitorder="little").astype(bool)
        current = numpy.bitwise_xor.reduce(columns[:, chosen], axis=1)
    numbers = numpy.empty((length, lanes), dtype=numpy.uint64)
    for row in numbers:
        row[:] = step(state)
    return numbers.T.reshape(-1)[:count]


def draw(case, seed):
    """Query, key and value as `attention bench` draws them for the case: normal variates by Box and Muller."""
    if case.get("layer"):
        return layers.draw(case, seed)
    if case.get("backward"):
        return [*draw(backward.attention_case(case), seed), backward.draw_upstream(case, seed)]
    if case.get("lengths"):
        return draw_padded(case, seed)
    if case.get("linear"):
        return draw_linear(case, seed)
    mixed = 0xCBF29CE484222325
    for byte in case["name"].encode():
        mixed = (mixed ^ byte) * 0x100000001B3 % (1 << 64)
    shapes = [
        (case["B"], case["H"], case["Lq"], case["dk"]), (case["B"], case["Hkv"], case["Lk"], case["dk"]),
        (case["B"], case["Hkv"], case["Lk"], case["dv"])]
    sizes = [int(numpy.prod(shape)) for shape in shapes]
    pairs = [(size + 1) // 2 for size in sizes]  # of a tensor with an odd size, the last variate's partner is dropped
    numbers = xoshiro(seed ^ mixed, 2 * sum(pairs)) & numpy.uint64((1 << 53) - 1)
    units = numbers.astype(numpy.float64).reshape(-1, 2) * 2.0**-53
    radius, angle = numpy.sqrt(-2 * numpy.log(1 - units[:, 0])), 2 * numpy.pi * units[:, 1]
    normal = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], axis=1).astype(numpy.float32)
    starts = numpy.cumsum([0, *pairs])
    return [
        normal[start:start + pair].reshape(-1)[:size].reshape(shape)
        for start, pair, size, shape in zip(starts, pairs, sizes, shapes)]


def draw_padded(case, seed):
    """Padded tensors are large, and ours holds no padding: normal variates of numpy's."""
    generator = numpy.random.default_rng(seed)
    shapes = [
        (case["B"], case["H"], case["Lq"], case["dk"]), (case["B"], case["Hkv"], case["Lk"], case["dk"]),
        (case["B"], case["Hkv"], case["Lk"], case["dv"])]
    return [generator.standard_normal(shape, dtype=numpy.float32) for shape in shapes]


def draw_linear(case, seed):
    """Input [m, i], weight [o, i] and bias [o] of the sizes that ours are of, so that outputs are of the size of inputs."""
    generator = numpy.random.default_rng(seed)
    bound = case["i"] ** -0.5
    return [
        generator.standard_normal((case["m"], case["i"]), dtype=numpy.float32),
        generator.uniform(-bound, bound, (case["o"], case["i"])).astype(numpy.float32),
        generator.uniform(-1, 1, case["o"]).astype(numpy.float32)]


def tensor_count(case):
    """How many arrays `draw` gives."""
    return layers.tensor_count(case) if case.get("layer") else 4 if case.get("backward") else 3
