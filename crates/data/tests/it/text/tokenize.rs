//! Text to ids and back, against `fixtures/text/tokenize.json`.

use super::{fixture, ids, pipeline};
use data::text::Control;
use data::{LossOn, Template};

#[test]
fn ids_and_text_equal_transformers() {
    let fixture = fixture("text/tokenize.json");
    let mut cases = 0;
    for (model, rows) in fixture.as_object().unwrap() {
        let pipeline = pipeline(model, Template::Auto, LossOn::Response);
        let tokenizer = pipeline.tokenizer();
        for row in rows.as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            let expected = ids(&row["ids"]);
            assert_eq!(tokenizer.encode(text).unwrap(), expected, "{model} {text:?}");
            assert_eq!(tokenizer.encode_bare(text).unwrap(), ids(&row["ids_no_special"]), "{model} {text:?}");
            let decoded = tokenizer.decode(&expected, Control::Show).unwrap();
            assert_eq!(decoded, row["decoded"].as_str().unwrap(), "{model} {text:?}");
            assert_eq!(
                tokenizer.decode(&expected, Control::Skip).unwrap(),
                row["decoded_skip_special"].as_str().unwrap(),
                "{model} {text:?}"
            );
            assert_eq!(tokenizer.pieces(&expected).concat(), decoded, "{model} {text:?}");
            assert_eq!(tokenizer.pieces(&expected).len(), expected.len());
            cases += 1;
        }
    }
    assert_eq!(cases, 44);
}
