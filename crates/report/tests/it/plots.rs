//! Plots on their own.

use report::Language::English;
use report::plot::*;

fn canvas() -> Canvas<'static> {
    Canvas { width: 400.0, title: "<a \"title\">", language: English }
}

fn plain<'a>(edges: &'a [f64], counts: &'a [f64], scale: Scale) -> Histogram<'a> {
    Histogram { edges, counts, scale, domain: None, marks: &[], spread: None, height: 100.0 }
}

fn slice(label: &str, value: f64) -> Slice<'_> {
    Slice { label, value, tone: Tone::Level(0), children: Vec::new() }
}

fn bar(label: &str, value: f64) -> Bar<'_> {
    Bar { label, value, note: "<n>", tone: Tone::Data }
}

/// Everything that can be drawn, with values that are all finite: no attribute may hold anything else.
fn drawn() -> Vec<(&'static str, String)> {
    let histograms = [
        ("empty", histogram(&plain(&[], &[], Scale::Log), &canvas())),
        ("nothing in it", histogram(&plain(&[0.0, 1.0, 2.0], &[0.0, 0.0], Scale::Linear), &canvas())),
        ("one value", histogram(&plain(&[5.0, 6.0], &[7.0], Scale::Log), &canvas())),
        ("huge", histogram(&plain(&[0.0, 1.0, 1e300], &[1.0, f64::MAX], Scale::Log), &canvas())),
        ("huge sum", histogram(&plain(&[0.0, 1.0, 2.0], &[f64::MAX, f64::MAX], Scale::Linear), &canvas())),
        ("tiny", histogram(&plain(&[0.0, 1e-300], &[1e-300], Scale::Linear), &canvas())),
    ];
    let others = [
        ("bars of nothing", bars(&[], &canvas())),
        ("bars of zeros", bars(&[bar("a", 0.0), bar("b", 0.0)], &canvas())),
        ("bars", bars(&[bar("<b>", f64::MAX), bar("一个很长很长很长很长很长很长的名字", 1.0)], &canvas())),
        ("stacks of nothing", stacked(&[], &canvas())),
        (
            "stacks",
            stacked(
                &[
                    Stack { label: "<s>", segments: vec![Segment { label: "<x>", value: 3.0, tone: Tone::Series(0) }] },
                    Stack { label: "empty", segments: Vec::new() },
                ],
                &canvas(),
            ),
        ),
        ("no slices", sunburst(&[], ("0", "x"), &canvas())),
        ("one slice", sunburst(&[slice("<all>", 1.0)], ("1", "x"), &canvas())),
        (
            "children beyond their parent",
            sunburst(
                &[Slice { children: vec![slice("<c>", 9.0), slice("d", 9.0)], ..slice("p", 10.0) }, slice("z", 0.0)],
                ("<m>", "x"),
                &canvas(),
            ),
        ),
        ("no clusters", clusters(&[], &canvas())),
        (
            "clusters",
            clusters(
                &[
                    Cluster { label: "<near>", note: "many", rows: u64::MAX, kept: Some(1), anchor: "a" },
                    Cluster { label: "b", note: "", rows: 0, kept: None, anchor: "b" },
                ],
                &canvas(),
            ),
        ),
        ("no course", sparkline(&[], &canvas())),
        ("a point", sparkline(&[2.0], &canvas())),
        ("level", sparkline(&[2.0, 2.0], &canvas())),
        ("far apart", sparkline(&[f64::MIN, f64::MAX, -3.0], &canvas())),
        ("a cell", cell(7.0, Tone::Good)),
    ];
    let all = histograms.into_iter().chain(others);
    all.map(|(name, svg)| (name, svg.unwrap_or_else(|e| panic!("{name}: {e}")))).collect()
}

#[test]
fn plots_are_whole_escaped_and_finite() {
    for (name, svg) in drawn() {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{name}");
        for bad in ["NaN", "inf", "<a \"", "<b>", "<x>", "<c>", "<n>", "<m>", "<near>", "<all>", "<script", "style="] {
            assert!(!svg.contains(bad), "{name}: {bad} in {svg}");
        }
        if name != "a cell" {
            assert!(svg.contains("aria-label=\"&lt;a &quot;title&quot;&gt;\""), "{name}");
        }
    }
}

#[test]
fn what_is_no_amount_is_refused() {
    let nan = [0.0, f64::NAN];
    let mark = [Mark { at: f64::INFINITY, label: "" }];
    let spread = Spread { p5: f64::NAN, p25: 0.0, p50: 0.0, p75: 0.0, p95: 0.0 };
    let good = [0.0, 1.0, 2.0];
    let of = |data: Histogram| histogram(&data, &canvas()).err();
    let not_finite = |what| Some(Error::NotFinite { what });
    let stack = |value| Stack { label: "", segments: vec![Segment { label: "", value, tone: Tone::Data }] };
    for (case, error, expected) in [
        ("counts", of(plain(&good, &nan, Scale::Log)), not_finite("counts")),
        ("edges", of(plain(&nan, &[1.0], Scale::Log)), not_finite("edges")),
        ("marks", of(Histogram { marks: &mark, ..plain(&good, &[1.0, 1.0], Scale::Log) }), not_finite("marks")),
        (
            "domain",
            of(Histogram { domain: Some((0.0, f64::NAN)), ..plain(&good, &[1.0, 1.0], Scale::Log) }),
            not_finite("the domain"),
        ),
        (
            "spread",
            of(Histogram { spread: Some(spread), ..plain(&good, &[1.0, 1.0], Scale::Log) }),
            not_finite("quantiles"),
        ),
        ("negative", of(plain(&good, &[1.0, -1.0], Scale::Log)), Some(Error::Negative { what: "counts" })),
        ("order", of(plain(&[0.0, 2.0, 2.0], &[1.0, 1.0], Scale::Log)), Some(Error::EdgesUnordered)),
        ("edges", of(plain(&good, &[1.0], Scale::Log)), Some(Error::EdgesUnmatched { edges: 3, counts: 1 })),
        ("bars", bars(&[bar("a", f64::NAN)], &canvas()).err(), not_finite("values")),
        ("stack", stacked(&[stack(-1.0)], &canvas()).err(), Some(Error::Negative { what: "values" })),
        ("slice", sunburst(&[slice("a", f64::INFINITY)], ("", ""), &canvas()).err(), not_finite("values")),
        ("course", sparkline(&nan, &canvas()).err(), not_finite("values")),
        ("cell", cell(f64::NAN, Tone::Data).err(), not_finite("a share")),
    ] {
        assert_eq!(error, expected, "{case}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for (error, expected) in [
        (Error::NotFinite { what: "edges" }, "edges must be finite numbers"),
        (Error::Negative { what: "counts" }, "counts must not be negative"),
        (Error::EdgesUnordered, "edges must ascend"),
        (Error::EdgesUnmatched { edges: 1, counts: 3 }, "3 counts need 4 edges, got 1"),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

/// Bins of a histogram are told exactly, whatever their height.
#[test]
fn titles_have_exact_counts() {
    let svg = histogram(&plain(&[0.0, 1.0, 4.0, 8.0], &[0.0, 3.0, 1.0], Scale::Log), &canvas()).expect("drawn");
    assert!(svg.contains("<title>1–3: 3 (75.0%)</title>") && svg.contains("<title>4–7: 1 (25.0%)</title>"), "{svg}");
    let svg = histogram(&plain(&[0.0, 0.5, 1.0], &[3.0, 1.0], Scale::Linear), &canvas()).expect("drawn");
    assert!(svg.contains("<title>0–0.5: 3 (75.0%)</title>"), "{svg}");
}

#[test]
fn dumbbells_lie_where_their_values_are() {
    let point = |value: f64| Some(Point { value, low: value - 0.1, high: value + 0.1 });
    let one = |before, after, tone| Dumbbell { label: "x", before, after, note: "", tone };
    let data = [one(point(0.2), point(0.8), Tone::Good), one(point(0.8), point(0.2), Tone::Blocks)];
    for width in [820.0, 340.0] {
        let svg = dumbbells(&data, Scale::Linear, &of(width)).expect("a plot");
        let all: Vec<f64> = numbers_after(&svg, "class=\"ring before\" cx=\"");
        let after = numbers_after(&svg, "class=\"t-good\" cx=\"")[0];
        assert!(all[0] < all[1] && (after - all[1]).abs() < 0.11, "one axis: {all:?} {after}");
        // Worse is a square, so that colour is not all that tells it.
        assert_eq!(numbers_after(&svg, "<rect class=\"t-blocks\" x=\"").len(), 1);
        assert!(all.iter().all(|x| (0.0..=width).contains(x)));
    }
    let odd = [one(point(f64::INFINITY), None, Tone::Data)];
    assert!(dumbbells(&odd, Scale::Linear, &of(820.0)).is_err());
    assert!(dumbbells(&[], Scale::Log, &of(340.0)).is_ok());
    // Losses far from 0 are not pressed together at the end of an axis that begins there.
    let far = [one(point(10.0), point(10.5), Tone::Blocks)];
    let svg = dumbbells(&far, Scale::Linear, &of(820.0)).expect("a plot");
    let (a, b) = (numbers_after(&svg, "ring before\" cx=\"")[0], numbers_after(&svg, "\"t-blocks\" x=\"")[0]);
    assert!(b - a > 200.0, "{a} {b}");
}

#[test]
fn a_matrix_colours_shares_of_rows() {
    let labels = ["a", "b", "– none"].map(str::to_owned);
    let m = Matrix { rows: &labels[..2], columns: &labels, cells: &[(0, 0, 9.0), (0, 2, 1.0), (1, 1, 1.0)] };
    let svg = matrix(&m, &of(420.0)).expect("a plot");
    // 9 of 10, 1 of 10, all of one; the other three are empty.
    for (class, n) in [("l5", 2), ("l0", 1), ("ground", 3)] {
        assert_eq!(svg.matches(&format!("<rect class=\"{class}\"")).count(), n, "{class}");
    }
    assert!(svg.contains("a → – none: 1 (10.0%)"));
    let negative = Matrix { cells: &[(0, 0, -1.0)], ..m };
    assert!(matrix(&negative, &of(420.0)).is_err());
}

fn of(width: f64) -> Canvas<'static> {
    Canvas { width, ..canvas() }
}

fn numbers_after(svg: &str, start: &str) -> Vec<f64> {
    let number = |rest: &str| rest.split('"').next().and_then(|n| n.parse().ok()).expect("a number");
    svg.split(start).skip(1).map(number).collect()
}
