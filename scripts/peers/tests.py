"""Tests of the arithmetic behind compare-peers: `python -m unittest peers.tests`, in this script's folder."""

import argparse
import json
import math
import unittest
import unittest.mock

import numpy

from peers import backward, cases, embedding, layers, summary, worker


class Cases(unittest.TestCase):
    def test_the_generator_is_xoshiro(self):
        # A plain xoshiro256** beside the one that jumps, for counts on both sides of a lane's end.
        state, bits = [], (1 << 64) - 1
        for index in range(1, 5):
            z = (42 + index * 0x9E3779B97F4A7C15) & bits
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & bits
            z = (z ^ z >> 27) * 0x94D049BB133111EB & bits
            state.append(z ^ z >> 31)

        def rotated(value, by):
            return (value << by | value >> 64 - by) & bits

        expected = []
        for _ in range(5000):
            expected.append(rotated(state[1] * 5 & bits, 7) * 9 & bits)
            shifted = state[1] << 17 & bits
            state[2] ^= state[0]
            state[3] ^= state[1]
            state[1] ^= state[2]
            state[0] ^= state[3]
            state[2] ^= shifted
            state[3] = rotated(state[3], 45)
        for count in (1, 2047, 2048, 2049, 5000):
            self.assertEqual([int(number) for number in cases.xoshiro(42, count)], expected[:count])

    def test_work_is_counted_as_by_cells(self):
        for name in ("b2h6q40k56d24-kv3-v20", "h2q7k9d16-causal", "h2q9k40d16-window5", "h1q1d1", "zipf9x30h2d16-causal"):
            case = cases.parse(name)
            allowed = cases.allowed(case)
            cells = numpy.ones((case["B"], 1, case["Lq"], case["Lk"]), dtype=bool)
            if allowed is not None:
                cells &= allowed
            for sequence, length in enumerate(case.get("lengths") or []):
                cells[sequence, :, length:] = False
            expected = 2e-9 * (case["dk"] + case["dv"]) * case["H"] * int(cells.sum())
            self.assertAlmostEqual(cases.useful_gflop(case), expected, delta=1e-12 * expected)

    def test_linear_maps(self):
        case = cases.parse("linear:m3i5o7-geluTanh")
        self.assertEqual((case["m"], case["i"], case["o"], case["activation"]), (3, 5, 7, "geluTanh"))
        self.assertEqual(cases.parse("linear:m03i5o7")["linear"], "m3i5o7")
        self.assertAlmostEqual(cases.useful_gflop(case), 210e-9, delta=1e-18)
        self.assertEqual([array.shape for array in cases.draw(case, 1)], [(3, 5), (7, 5), (7,)])
        self.assertTrue(all(array.dtype == numpy.float32 for array in cases.draw(case, 1)))

    def test_layers(self):
        case = cases.parse("layer:block-t100w8h2f16-training")
        self.assertEqual((case["layer"], case["training"]), ("block-t100w8h2f16", True))
        self.assertEqual(layers.lengths(case), [1, 30, 59, 10])
        squares, linear = 1 + 900 + 3481 + 100, 2 * 100 * 8 * (32 + 32)
        self.assertAlmostEqual(cases.useful_gflop(case), 1e-9 * (3 * linear + 3.5 * 32 * squares), delta=1e-15)
        arrays = cases.draw(case, 1)
        self.assertEqual(len(arrays), cases.tensor_count(case))
        self.assertEqual([array.shape for array in arrays[1:-1]], list(layers.parameters(case).values()))
        lstm = cases.parse("layer:lstm-b2l3i5h7")
        self.assertAlmostEqual(cases.useful_gflop(lstm), 2e-9 * 4 * 6 * 7 * 12, delta=1e-15)
        self.assertIsNone(cases.useful_gflop(cases.parse("layer:gelu-m3w5")))
        for name in ("layer:", "layer:block", "layer:lstm-b2l3i5", "layer:lstm-b2l3i5h0", "layer:lstm-b2b3l3i5h7",
                     "layer:block-t1w6h4f1", "layer:gelu-m3w5-training", "layer:elu-m3w5", "layer:gelu-m3w5x",
                     "layer:gelu-m03w5", "layer:gelu-w5m3", "layer:gelu-m99999999999w5"):
            with self.assertRaises(argparse.ArgumentTypeError, msg=name):
                cases.parse(name)

    def test_errors_of_layers_are_told_by_parts(self):
        case = cases.parse("layer:rnn-b1l2i2h2-training")
        sizes = [4, 4, 4, 2, 2, 4]
        expected = numpy.concatenate([numpy.full(size, 10.0 ** place) for place, size in enumerate(sizes)])
        self.assertEqual(layers.largest_error(case, expected, expected), 0)
        self.assertEqual(layers.largest_error(case, expected[:-1], expected), math.inf)
        for place, start in enumerate(numpy.cumsum([0, *sizes[:-1]])):
            wrong = expected.copy()
            wrong[start] *= 1.01
            self.assertAlmostEqual(layers.largest_error(case, wrong, expected), 0.01, delta=1e-9, msg=place)

    def test_wrong_names_are_refused(self):
        for name in ("backward:", "backward:h2q1", "backward:linear:m1i2o3", "backward:zipf3x5h2d8", "backward:backward:h1q1d1", "backward:h2q4d8-softcap3", "", "linear:m0i2o3", "linear:m1i2", "linear:m1i2o3-swish", "linear", "m1i2o3", "h0q1d1", "h2q1", "h3q4d8-kv2", "h2q9k4d8-causal", "h2q4d8-causal-causal", "zipf0x5h1d8", "zipf3x5q1"):
            with self.assertRaises(argparse.ArgumentTypeError, msg=name):
                cases.parse(name)


class Backward(unittest.TestCase):
    def test_names(self):
        case = cases.parse("backward:h4q8d16-kv2-causal")
        self.assertEqual((case["name"], case["backward"]), ("backward:b1h4q8k8d16-kv2-causal", "b1h4q8k8d16-kv2-causal"))
        self.assertEqual(backward.attention_case(case), cases.parse("h4q8d16-kv2-causal"))

    def test_work_is_that_of_seven_products(self):
        for name in ("b2h6q40k56d24-kv3-v20", "h2q7k9d16-causal"):
            forward, both = cases.useful_gflop(cases.parse(name)), cases.useful_gflop(cases.parse(f"backward:{name}"))
            widths = {"b2h6q40k56d24-kv3-v20": (4 * 24 + 3 * 20) / 44, "h2q7k9d16-causal": 3.5}
            self.assertAlmostEqual(both, widths[name] * forward, delta=1e-12 * both)

    def test_operands_are_those_of_attention(self):
        case = cases.parse("backward:h4q8k9d16-kv2-v5")
        arrays = cases.draw(case, 3)
        self.assertEqual([array.shape for array in arrays], [(1, 4, 8, 16), (1, 2, 9, 16), (1, 2, 9, 5), (1, 4, 8, 5)])
        for array, known in zip(arrays, cases.draw(cases.parse("h4q8k9d16-kv2-v5"), 3)):
            numpy.testing.assert_array_equal(array, known)

    def test_the_reference_agrees_with_differences(self):
        case = cases.parse("backward:h2q3k4d2-kv1-v3-causal")
        arrays = [array.astype(numpy.float64) for array in cases.draw(case, 1)]
        allowed, size = cases.allowed(case), arrays[3].size

        def loss(inputs):
            return backward.expected(case, allowed, *inputs, arrays[3])[:size] @ arrays[3].reshape(-1)

        gradients, place = backward.expected(case, allowed, *arrays)[size:], 0
        for index in range(3):
            for position in numpy.ndindex(arrays[index].shape):
                sides = []
                for step in (1e-5, -1e-5):
                    inputs = [array.copy() for array in arrays[:3]]
                    inputs[index][position] += step
                    sides.append(loss(inputs))
                self.assertAlmostEqual((sides[0] - sides[1]) / 2e-5, gradients[place], delta=1e-8)
                place += 1
        self.assertEqual(place, len(gradients))

    def test_wrong_gradients_are_found(self):
        case, expected = cases.parse("backward:h1q1d1"), numpy.zeros(4)
        for wrong, error in (([0, 0, 0, 0.5], 0.5), ([0, math.nan, 0, 0], math.inf), ([0, 0, 0], math.inf)):
            self.assertEqual(worker.largest_error(case, numpy.array(wrong, dtype=numpy.float32), expected), error)


class Embedding(unittest.TestCase):
    def test_pieces_are_sentences(self):
        text = "One two.  Three\nfour; five: e.g.this! No end\n \n  A title\n\n\n1.2 is kept?yes"
        self.assertEqual(embedding.pieces(text), [
            "One two.", "Three four;", "five:", "e.g.this!", "No end", "A title", "1.2 is kept?yes"])
        self.assertEqual(embedding.pieces(" \n\n "), [])

    def test_sentences_are_different_and_of_a_fit_length(self):
        found = [f"s{length}" for length in range(300)] * 2
        lengths = [int(text[1:]) for text in found]
        chosen = embedding.choose(found, lengths, count=200)
        self.assertEqual(len(set(chosen)), 200)
        self.assertTrue(all(5 <= int(text[1:]) <= 256 for text in chosen))
        self.assertEqual(chosen, embedding.choose(found, lengths, count=200))
        self.assertNotEqual(chosen, embedding.choose(found, lengths, count=200, seed=1))
        self.assertEqual(len(embedding.choose(found, lengths, count=252)), 252)
        with self.assertRaises(SystemExit):
            embedding.choose(found, lengths, count=253)

    def test_a_text_is_cut_to_so_many_tokens(self):
        words = ["aa", "b", "cccc", "d", "e"]
        self.assertEqual(embedding.cut(words, 3, lambda text: len(text.replace(" ", ""))), "aa b")
        self.assertEqual(embedding.cut(words, 5, lambda text: len(text.replace(" ", ""))), "b cccc")
        with self.assertRaises(SystemExit):
            embedding.cut(words, 12, lambda text: len(text.replace(" ", "")))

    def test_batches_by_length(self):
        self.assertEqual(embedding.by_length([3, 9, 3, 5, 1], 2), [[1, 3], [0, 2], [4]])
        self.assertEqual(embedding.by_length([], 2), [])
        self.assertAlmostEqual(embedding.padding([3, 9, 3, 5, 1], [[1, 3], [0, 2], [4]]), (18 + 6 + 1) / 21)

    def test_padding_is_0_and_masked(self):
        ids, lengths = embedding.padded([[7, 8], [9], [1, 2, 3]])
        self.assertEqual(ids.tolist(), [[7, 8, 0], [9, 0, 0], [1, 2, 3]])
        self.assertEqual((lengths.tolist(), ids.dtype), ([2, 1, 3], numpy.int64))
        self.assertEqual(embedding.mask(ids, lengths).tolist(), [[1, 1, 0], [1, 0, 0], [1, 1, 1]])

    def test_pooling_takes_no_padding(self):
        hidden = numpy.array([[[3, 0], [3, 8], [math.nan, 1]], [[0, -2], [9, 9], [9, 9]]], dtype=numpy.float32)
        numpy.testing.assert_allclose(embedding.pooled(hidden, numpy.array([2, 1])), [[0.6, 0.8], [0, -1]], rtol=1e-6)
        numpy.testing.assert_allclose(embedding.pooled(hidden[:1, :2], numpy.array([2])), [[0.6, 0.8]], rtol=1e-6)

    def test_wrong_vectors_are_found(self):
        expected = numpy.zeros((2, 2))
        self.assertEqual(embedding.largest_error(numpy.array([[0, 0.5], [-1, 0]], dtype=numpy.float32), expected), 1)
        for wrong in (numpy.zeros((1, 2)), numpy.full((2, 2), numpy.nan), numpy.full((2, 2), numpy.inf)):
            self.assertEqual(embedding.largest_error(wrong, expected), math.inf)


class Summary(unittest.TestCase):
    def test_ratios_and_means(self):
        times = {
            "a": {"ours": [1.0, 1, 2], "slow": [3.0, 3, 9], "fast": [0.5, 0.5, 0.5]},
            "b": {"ours": [2.0, 2, 2], "slow": [8.0, 8, 8]},
        }
        rows, means = summary.summarise(times, ["slow", "fast"], seed=1)
        self.assertEqual([rows["a"][side]["ratio"] for side in ("slow", "fast", "best")], [3, 0.5, 0.5])
        self.assertEqual(rows["b"]["best"], {"ratio": 4, "interval": [4, 4]})
        self.assertAlmostEqual(means["slow"]["ratio"], math.sqrt(3 * 4))
        self.assertAlmostEqual(means["best"]["ratio"], math.sqrt(0.5 * 4))
        self.assertEqual([means[side]["cases"] for side in ("slow", "fast", "best")], [2, 1, 2])
        for figure in (*rows["a"].values(), *means.values()):
            self.assertLessEqual(figure["interval"][0], figure["ratio"])
            self.assertGreaterEqual(figure["interval"][1], figure["ratio"])

    def test_the_interval_resamples_sides_together(self):
        # A round in which the whole machine was slow changes no ratio.
        times = {"a": {"ours": [1.0, 5, 2], "peer": [2.0, 10, 4]}}
        rows, _ = summary.summarise(times, ["peer"], seed=1)
        self.assertEqual(rows["a"]["peer"], {"ratio": 2, "interval": [2, 2]})

    def test_the_fastest_way_is_that_of_the_smallest_median(self):
        self.assertEqual(summary.fastest({"lucky once": [1, 9, 9], "steady": [5, 5, 5]}), "steady")

    def test_json_has_no_infinity(self):
        text = json.dumps(summary.finite({"a": [1.5, math.inf, {"b": math.nan}], "c": "inf"}), allow_nan=False)
        self.assertEqual(json.loads(text), {"a": [1.5, None, {"b": None}], "c": "inf"})


class Timing(unittest.TestCase):
    """By a clock that only the calls move: every duration below is exact in binary."""

    def timed(self, seconds, repeats):
        """The milliseconds that are told, and the number of calls made."""
        now = [0.0]
        with unittest.mock.patch("time.perf_counter", lambda: now[-1]):
            milliseconds = worker.time_calls(lambda: now.append(now[-1] + seconds), repeats)
        return milliseconds, len(now) - 1

    def test_short_calls_are_warmed_up_and_batched(self):
        # 103 calls of 0.49 ms last 50 ms; three are timed alone; then three samples of the five calls that last 2 ms.
        self.assertEqual(self.timed(2 ** -11, repeats=3), (1e3 * 2 ** -11, 103 + 3 + 3 * 5))

    def test_a_long_call_is_timed_alone(self):
        self.assertEqual(self.timed(0.0625, repeats=2), (62.5, 1 + 2))


class Errors(unittest.TestCase):
    def test_outputs_of_linear_maps(self):
        case, expected = {"linear": "m2i1o2"}, numpy.zeros((2, 2))
        self.assertEqual(worker.largest_error(case, numpy.array([[0, 0.5], [-1, 0]], dtype=numpy.float32), expected), 1)
        for wrong in (numpy.full((2, 2), numpy.nan), numpy.zeros((1, 2))):
            self.assertEqual(worker.largest_error(case, wrong.astype(numpy.float32), expected), math.inf)

    def test_padding_does_not_count(self):
        case = {"B": 2, "Lq": 3, "lengths": [1, 2]}
        expected = numpy.zeros((2, 1, 3, 1))
        output = numpy.array([0.1, 9, 9, 0.2, 0.3, 9], dtype=numpy.float32).reshape(2, 1, 3, 1)
        self.assertAlmostEqual(worker.largest_error(case, output, expected), 0.3, delta=1e-7)
        output[1, 0, 0] = numpy.nan
        self.assertEqual(worker.largest_error(case, output, expected), math.inf)


if __name__ == "__main__":
    unittest.main()
