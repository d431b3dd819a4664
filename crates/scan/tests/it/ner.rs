use scan::ner::{Labels, LabelsError, Piece, Window, spots, windows};

const BIO: &str =
    r#"{"id2label": {"0": "O", "1": "B-PER", "2": "I-PER", "3": "B-ORG", "4": "I-ORG", "5": "B-LOC", "6": "I-LOC"}}"#;

/// Pieces from the text, each where the one before ends or later, with its word and label.
fn found(json: &str, text: &str, pieces: &[(&str, u32, usize)]) -> Vec<(&'static str, String)> {
    let labels = Labels::from_config(json).unwrap();
    let mut end = 0;
    let mut at = Vec::new();
    let mut logits = Vec::new();
    for &(piece, word, label) in pieces {
        let start = end + text[end..].find(piece).unwrap();
        end = start + piece.len();
        at.push(Piece { at: start..end, word: Some(word) });
        logits.extend((0..labels.count()).map(|one| if one == label { 6.0 } else { 0.0 }));
    }
    let spots = spots(text, &labels, &at, &logits);
    assert!(spots.iter().all(|spot| spot.confidence > 0.5 && spot.confidence <= 1.0 && spot.rule == "ner"));
    spots.into_iter().map(|spot| (spot.kind, text[spot.at].to_owned())).collect()
}

/// A text, its pieces with their word and label, and the names.
type Case = (&'static str, &'static [(&'static str, u32, usize)], &'static [(&'static str, &'static str)]);

#[test]
fn tags_become_names() {
    let cases: [Case; 7] = [
        (
            "Ada Lovelace met IBM in Paris.",
            &[
                ("Ada", 0, 1),
                ("Lovelace", 1, 2),
                ("met", 2, 0),
                ("IBM", 3, 3),
                ("in", 4, 0),
                ("Paris", 5, 5),
                (".", 6, 0),
            ],
            &[("person", "Ada Lovelace"), ("organisation", "IBM"), ("place", "Paris")],
        ),
        // The pieces of a word are one, whatever the later ones say.
        (
            "by Lovelace now",
            &[("by", 0, 0), ("Love", 1, 1), ("la", 1, 1), ("ce", 1, 0), ("now", 2, 0)],
            &[("person", "Lovelace")],
        ),
        // Two names side by side, and one that changes its kind.
        ("Bonn Berlin", &[("Bonn", 0, 5), ("Berlin", 1, 5)], &[("place", "Bonn"), ("place", "Berlin")]),
        ("Bonn Bank", &[("Bonn", 0, 5), ("Bank", 1, 4)], &[("place", "Bonn"), ("organisation", "Bank")]),
        // No beginning was seen.
        ("in New York", &[("in", 0, 0), ("New", 1, 6), ("York", 2, 6)], &[("place", "New York")]),
        // A sentence that the tokenizer takes for one word.
        (
            "王芳住在北京。",
            &[("王", 0, 1), ("芳", 0, 2), ("住在", 0, 0), ("北", 0, 5), ("京", 0, 6), ("。", 0, 0)],
            &[("person", "王芳"), ("place", "北京")],
        ),
        // Punctuation at the word.
        ("(Paris), 😀", &[("(Paris),", 0, 5), ("😀", 1, 1)], &[("place", "Paris")]),
    ];
    for (text, pieces, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|&(kind, name)| (kind, name.to_owned())).collect();
        assert_eq!(found(BIO, text, pieces), expected, "{text}");
    }
    assert_eq!(spots("", &Labels::from_config(BIO).unwrap(), &[], &[]), []);
}

#[test]
fn labels_of_other_schemes() {
    let single = r#"{"id2label": {"0": "O", "1": "PER", "2": "MISC"}}"#;
    assert_eq!(
        found(single, "Ada Lovelace Java", &[("Ada", 0, 1), ("Lovelace", 1, 1), ("Java", 2, 2)]),
        [("person", "Ada Lovelace".to_owned())]
    );
    let spans = r#"{"id2label": {"0": "O", "1": "B-name", "2": "I-name", "3": "S-name", "4": "B_government", "5": "E-government", "6": "B-book"}}"#;
    let pieces = [("张", 0, 3), ("李", 1, 1), ("明", 2, 2), ("外", 3, 4), ("部", 4, 5), ("书", 5, 6)];
    let expected =
        [("person", "张"), ("person", "李明"), ("organisation", "外部")].map(|(kind, name)| (kind, name.to_owned()));
    assert_eq!(found(spans, "张李明外部书", &pieces), expected);
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    assert!(matches!(Labels::from_config("{}"), Err(LabelsError::Json(_))));
    assert!(matches!(Labels::from_config("no"), Err(LabelsError::Json(_))));
    assert!(
        matches!(Labels::from_config(r#"{"id2label": {"0": "O", "7": "B-PER"}}"#), Err(LabelsError::Numbers { got }) if got == "7")
    );
    assert!(matches!(
        Labels::from_config(r#"{"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}}"#),
        Err(LabelsError::NoneKnown { .. })
    ));
}

#[test]
fn windows_keep_every_token_once() {
    assert_eq!(windows(5, 8, 2), [Window { at: 0..5, keep: 0..5 }]);
    assert_eq!(windows(10, 6, 2), [Window { at: 0..6, keep: 0..5 }, Window { at: 4..10, keep: 5..10 }]);
    for (tokens, size, overlap) in [(1, 1, 0), (100, 7, 3), (1000, 510, 127), (511, 510, 127), (64, 8, 7)] {
        let windows = windows(tokens, size, overlap);
        let kept: Vec<usize> = windows.iter().flat_map(|window| window.keep.clone()).collect();
        assert_eq!(kept, (0..tokens).collect::<Vec<_>>(), "{tokens} {size} {overlap}");
        assert!(windows.iter().all(|window| window.at.len() <= size));
        assert!(windows.iter().all(|window| window.at.start <= window.keep.start && window.keep.end <= window.at.end));
    }
}

#[cfg(feature = "ner")]
#[test]
fn what_is_missing_is_named() {
    use scan::ner::{Ner, NerError};
    let folder = tempfile::tempdir().unwrap();
    let open = || Ner::open(folder.path()).err().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for name in ["model.onnx", "tokenizer.json", "config.json"] {
        assert!(matches!(open(), NerError::NoSuchFile { path } if path.ends_with(name)), "{name}");
        write(name, "");
    }
    assert!(matches!(open(), NerError::Labels { .. }));
    write("config.json", BIO);
    assert!(matches!(open(), NerError::Tokenizer { .. }));
    let error = NerError::Library { why: "not found".into() };
    assert!(error.to_string().contains("ORT_DYLIB_PATH"));
}
