"""Figures' data against the papers' numbers, written out here once more.

Sources: Leviathan et al., arXiv:2211.17192; CS Drafting, arXiv:2312.11462; CAS-Spec,
arXiv:2510.26843; Sequoia, arXiv:2402.12374; speculative cascades, arXiv:2405.19261.
"""

import json

import numpy as np
import pytest
from figures import at, load

pytest.importorskip("matplotlib")
allclose = np.testing.assert_allclose


def test_leviathan_table_1_lies_on_the_curves():
    shown = load("fig_leviathan_curves").data()
    allclose(shown["table_speed"], [1.96, 2.53, 2.44, 3.69, 2.71, 6.86], atol=0.0051)
    allclose(shown["table_operations"], [1.53, 1.58, 1.23, 1.63, 1.11, 1.60], atol=0.0051)
    lengths = load("fig_leviathan_curves").LENGTHS
    points = zip(shown["table_alpha"], shown["table_length"], shown["table_speed"], strict=True)
    for alpha, length, speed in points:
        row = shown["speed"][lengths.index(length)]
        assert row[at(shown["alpha"], alpha)] == pytest.approx(speed, abs=1e-12)


def test_leviathan_curves_end_where_they_must():
    shown = load("fig_leviathan_curves").data()
    allclose(shown["speed"][:, -1], [2, 3, 4, 6, 11], rtol=0.03)
    allclose(shown["operations"][:, 0], [2, 3, 4, 6, 11], rtol=0.01)
    assert (shown["speed"] <= shown["limit"] + 1e-12).all()
    assert (np.diff(shown["speed"], axis=1) > 0).all()


def test_leviathan_tables_2_and_4():
    shown = load("fig_leviathan_tables").data()
    expected = [3.2, 3.3, 2.5, 2.3, 2.4, 2.0, 2.4, 2.6, 2.0, 1.9, 1.8, 1.6]
    calc = [3.157, 3.251, 2.497, 2.258, 2.347, 1.934, 2.402, 2.619, 2.025, 1.891, 1.803, 1.536]
    measured = [3.4, 2.8, 1.7, 2.6, 2.4, 1.4, 3.1, 3.0, 2.2, 2.3, 2.2, 1.7]
    np.testing.assert_array_equal(shown["expected"], expected)
    np.testing.assert_array_equal(shown["measured"], measured)
    allclose(shown["computed"], calc, atol=5e-4)
    allclose(shown["computed"], expected, atol=0.07)


def test_cs_drafting_swi_is_as_published_and_predicted_within_six_per_cent():
    shown = load("fig_cs_drafting_swi").data()
    ms = [3.38, 3.06, 3.70, 3.19, 3.88, 3.97, 4.12, 4.56, 4.39, 4.88]
    pw = [2.99, 2.76, 3.27, 2.82, 3.43, 3.42, 3.51, 4.21, 3.99, 4.32]
    np.testing.assert_array_equal(shown["published"], [ms, pw])
    taken = ~np.isnan(shown["rates"])
    assert taken.tolist() == [True, True, True, True, False] * 2
    allclose(shown["computed"][0, taken], np.array(ms)[taken], atol=1e-9)
    allclose(shown["computed"], [ms, pw], rtol=0.06)
    single = [0, 1, 5, 6]
    allclose(shown["computed"][1, single], np.array(pw)[single], rtol=0.02)


def test_the_rates_taken_from_swi_solve_the_closed_form():
    rates = load("fig_cs_drafting_swi").data()["rates"]
    for row, published, length, size in ((0, 3.38, 10, 220), (1, 3.06, 11, 60), (6, 4.12, 19, 60)):
        alpha, cost = rates[row], size / 11300
        tokens = sum(alpha**i for i in range(length + 1))
        assert tokens / (1 + length * cost) == pytest.approx(published, abs=1e-9)


def test_cs_drafting_tables_3_and_4_as_speedups():
    shown = load("fig_cs_drafting_walltime").data()
    gsm8k = np.array([44.31, 56.72, 61.87, 63.81]) / 33.34
    mmlu = np.array([43.65, 55.60, 56.19, 63.37]) / 33.11
    allclose(shown["speedup"], [gsm8k, mmlu], rtol=1e-12)
    allclose(shown["ablation"], np.array([56.16, 55.51, 53.73, 53.55]) / 33.34, rtol=1e-12)
    for alpha, speedup in zip(shown["needed"], shown["speedup"][:, 0], strict=True):
        cost = 68 / 7000
        best = max(sum(alpha**i for i in range(k + 1)) / (1 + k * cost) for k in range(30))
        assert best == pytest.approx(speedup, abs=1e-9)


def test_cas_spec_figure_1a():
    shown = load("fig_cas_spec_figure1a").data()
    printed = [[1.2744, 1.1964, 1.2288], [1.0643, 1.1191, 1.2059], [1.5389, 1.4585, 1.3848]]
    np.testing.assert_array_equal(shown["speedup"], printed)
    allclose(shown["table"], printed, atol=5.5e-4)


def test_cas_spec_figure_3():
    module = load("fig_cas_spec_figure3")
    shown = module.data()
    printed = {"layer skip": 0.75, "VC": 0.97, "HC": 0.91, "VC + HC": 1.07, "PLD": 1.54}
    published = dict(zip(module.CAS_SPEC_FIGURE_3, shown["published"], strict=True))
    assert {name: published[name] for name in printed} == printed
    assert (published["VC + tree"], published["tree (SWIFT)"], published["DyTC"]) == (
        1.17, 1.06, 1.57
    )  # fmt: skip
    for method, (low, high) in zip(module.PREDICTED, shown["predicted"], strict=True):
        assert low < high
        inside = low <= published[method] <= high
        assert inside == (method == "PLD")


def test_the_predicted_range_of_layer_skip_is_that_of_one_token():
    module = load("fig_cas_spec_figure3")
    skip = module.data()["predicted"][module.PREDICTED.index("layer skip")]
    want = []
    for alpha, cost in ((0.67, 0.63), (0.81, 0.55)):
        want.append(max(sum(alpha**i for i in range(k + 1)) / (1 + k * cost) for k in range(1, 9)))
    allclose(skip, want, rtol=1e-12)


def test_cas_spec_table_1_row_by_row():
    module = load("fig_cas_spec_table1")
    shown = module.data()
    methods = list(module.LOOKS)
    for size, method, row in (
        ("7B", "PLD", [1.563, 1.046, 2.276, 1.109, 1.603, 1.642, 1.539]),
        ("7B", "CAS-Spec", [1.598, 1.103, 2.268, 1.145, 1.664, 1.676, 1.578]),
        ("13B", "CAS-Spec (Kangaroo+PLD)", [1.732, 1.251, 2.337, 1.401, 1.719, 1.689, 1.673]),
        ("33B", "SWIFT", [1.218, 1.187, 1.244, 1.152, 1.218, 1.221, 1.206]),
    ):
        np.testing.assert_array_equal(shown[size][methods.index(method)], row)
    assert np.isnan(shown["33B"]).all(axis=1).sum() == 2  # Kangaroo was not run there
    assert not np.isnan(shown["7B"]).any()


def test_cas_spec_table_2():
    shown = load("fig_cas_spec_table2").data()
    np.testing.assert_array_equal(shown["tokens"], [1.75, 3.01, 3.43, 2.27, 2.39, 3.57, 4.36])
    np.testing.assert_array_equal(shown["speedup"], [1.54, 1.06, 1.58, 1.44, 1.69, 2.05, 2.21])
    allclose(shown["cycle_cost"][:3], [1.136, 2.840, 2.171], atol=5e-4)


def test_sequoia_best_trees():
    shown = load("fig_sequoia_tree_size").data()
    for size, tokens in ((1, 1), (2, 1.7732), (4, 2.8333), (8, 3.8459), (16, 4.5376)):
        assert shown["best"][at(shown["size"], size)] == pytest.approx(tokens, abs=6e-5)
    for size, tokens in ((32, 5.2199), (64, 5.9166)):
        assert shown["best"][at(shown["size"], size)] == pytest.approx(tokens, abs=6e-5)
    chain = np.cumsum(0.7732 ** np.arange(128))  # Eq. (1) of arXiv:2211.17192
    allclose(shown["chain"], chain[shown["size"] - 1], rtol=1e-12)
    for shape in ("parallel", "binary", "chain"):
        assert (shown[shape] <= shown["best"] + 1e-12).all()


def test_correlated_acceptance_matches_exact_enumeration():
    module = load("fig_correlated_acceptance")
    shown = module.data()
    two, three = at(shown["rounds"], 2), at(shown["rounds"], 3)
    allclose(shown["refined"][:, two], [2.848100, 3.724004], atol=1e-6)
    allclose(shown["theorem"][:, two], [2.786793, 3.843725], atol=1e-6)
    assert (shown["theorem"][0] < shown["refined"][0]).all()
    assert (shown["theorem"][1] > shown["refined"][1]).all()
    assert three == two + 1


def test_correlated_worlds_keep_the_mean_and_bend_both_ways():
    module = load("fig_correlated_acceptance")
    shown = module.data()
    allclose(shown["ewif"][:, 0] * 1.05, [1.7, 1.7, *shown["ewif"][2:, 0] * 1.05], atol=1e-12)
    cycles, independent, runs, replies = shown["ewif"]
    assert (cycles[1:] > independent[1:]).all()
    assert (runs[1:] < independent[1:]).all()
    assert (replies < independent).all()
    five = [sum(rate**i for i in range(6)) for rate in (0.5, 0.9)]
    want = 2 / sum(1 / tokens for tokens in five) / 1.25
    assert replies[at(shown["length"], 5)] == pytest.approx(want, rel=1e-12)


def test_the_adaptive_bound_is_above_the_fixed_cascade_by_little():
    shown = load("fig_adaptive_bound").data()
    assert (shown["bound"] >= shown["fixed"] - 1e-9).all()
    assert (shown["fixed"] >= 0.9975 * shown["bound"]).all()
    assert (shown["fixed"] >= shown["single"] - 1e-9).all()


def test_the_batch_map_is_what_best_lengths_chooses():
    from cscalc.theory.batch import pass_time
    from cscalc.theory.serving import best_lengths

    module = load("fig_batch_context")
    shown = module.data()
    for context in (128.0, 2048.0, 32768.0):
        row = at(shown["context"], context)
        choices = best_lengths(
            module.ALPHA,
            shown["batch"][::12],
            target_time=lambda batch, positions, context=context: float(
                pass_time(
                    module.TARGET, module.GPU, batch=batch, positions=positions, context=context
                )
            ),
            draft_time=lambda batch, positions, context=context: float(
                pass_time(
                    module.DRAFT, module.GPU, batch=batch, positions=positions, context=context
                )
            ),
            max_length=module.MOST,
        )
        np.testing.assert_array_equal(
            shown["length"][row, ::12], [choice.length for choice in choices]
        )
        allclose(shown["speedup"][row, ::12], [c.speedup for c in choices], rtol=1e-12)


def test_the_batch_maps_say_what_their_caption_says():
    module = load("fig_batch_context")
    shown = module.data()
    assert shown["fits"][0, -1]
    assert shown["length"][0, -1] == 0  # a large batch at a short context: do not speculate
    assert (shown["sparse_speedup"] >= shown["speedup"] - 1e-12).all()
    assert shown["length"][shown["fits"]].max() == module.LENGTH_STEPS[-1] - 1
    assert shown["sparse_speedup"][shown["fits"]].max() < module.SPEED_STEPS[-1]


def test_the_fronts_start_and_end_where_they_must():
    module = load("fig_speculative_cascades")
    shown = module.data()
    _, _, draft = module.worlds()
    assert draft.shape == (300, 24)
    for name in module.RULES:
        loss, speed = shown[name]
        if name != "Token V1":  # which defers something at every threshold below 0
            assert loss[0] == pytest.approx(shown["lossless"][0], abs=1e-12), name
            assert speed[0] == pytest.approx(shown["lossless"][1], rel=1e-12), name
        assert speed.max() <= 6 / 1.5 + 1e-9  # all six tokens at cost 1 + 5 * .1
    assert shown["target"].tolist() == [shown["lossless"][0], 1.0]


def test_token_rules_come_before_context_rules_on_the_synthetic_contexts():
    shown = load("fig_speculative_cascades").data()
    best = {name: shown[name][0].min() for name in ("Chow", "Diff", "OPT", "Token V1", "Token V3")}
    assert best["Token V3"] < best["Token V1"] < best["OPT"] < best["Diff"] < best["Chow"]
    assert best["Chow"] < shown["target"][0]


def test_known_laws_of_the_example():
    module = load("fig_speculative_cascades")
    shown = module.data()
    distance, acceptance = shown["example Token V3"]
    row = int(np.abs(acceptance - 0.61).argmin())
    assert acceptance[row] == pytest.approx(0.61, abs=1e-12)
    assert distance[row] == pytest.approx(0.15, abs=1e-12)  # (.21, .65, .14) from (.3, .5, .2)


@pytest.mark.parametrize("kind", ["vertical", "horizontal"])
def test_bounds_of_the_table_at_two_more_rates(kind):
    shown = load("fig_effective_bounds").data()
    found = [curve[at(shown["alpha_d1"], 0.95)] for curve in shown[kind]]
    known = {
        "vertical": [0.878, 0.821, 0.773, 0.662, 0.371],
        "horizontal": [0.868, 0.772, 0.675, 0.481, 0.179],
    }
    allclose(found, known[kind], atol=6e-4)


def test_drafts_of_the_target_itself_are_read_when_there_is_a_record(tmp_path, monkeypatch):
    module = load("fig_effective_bounds")
    record = tmp_path / "dsia.json"
    monkeypatch.setattr(module, "SELF_DRAFTS", record)
    assert module.data()["self_drafts"].shape == (0, 4)
    points = [{"name": "skip:0.4", "alpha": 0.63, "low": 0.6, "high": 0.66, "cost": 0.87}]
    record.write_text(json.dumps({"schema": "validate/dsia", "points": points}), encoding="utf-8")
    assert module.data()["self_drafts"].tolist() == [[0.63, 0.6, 0.66, 0.87]]
    module.main(tmp_path)
    record.write_text('{"schema": "validate/report"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"dsia\.json must have schema validate/dsia, got valid"):
        module.data()


def test_predicted_against_measured_reads_every_report():
    module = load("fig_prediction_error")
    shown = module.data()
    tasks = [json.loads(p.read_text(encoding="utf-8"))["tasks"] for p in module.REPORTS]
    assert len(shown["tokens"]) == sum(len(one) for one in tasks)
    assert len(shown["speedup"]) == len(module.labels())
    _, _, measured, low, high = shown["speedup"].T
    assert (low <= measured).all()
    assert (measured <= high).all()


def test_a_record_of_another_kind_is_refused(tmp_path, monkeypatch):
    module = load("fig_prediction_error")
    other = tmp_path / "x-report.json"
    other.write_text('{"schema": "validate/plan"}', encoding="utf-8")
    monkeypatch.setattr(module, "REPORTS", [other])
    with pytest.raises(ValueError, match="must have schema validate/report, got validate/plan"):
        module.data()
