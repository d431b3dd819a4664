//! Personal data and secrets: where they stand, and texts without them.
//!
//! Rules are driven from what a value cannot be without: a group of digits, an `@`, the prefix of a key, a word
//! such as 微信 or `password`. Text that has none of these is passed over at the speed of a byte loop and one
//! automaton. An edge of a value is "no ASCII letter or digit beside it": Chinese characters are no word edges for
//! `\b`, which is why tools built on it miss 手机号138….
//!
//! Words before a value raise or lower what a rule believes (`context`); check digits decide where there are any.

mod abroad;
mod address;
mod card;
mod context;
mod fold;
mod forms;
mod identity;
mod local;
mod net;
mod password;
mod phone;
mod redact;
mod scan;
mod secret;

pub use redact::{Redact, Surrogates, redact};

use crate::Spot;
use scan::Text;
use std::collections::BTreeMap;

/// From this confidence on a spot is a finding.
pub const FINDING: f32 = 0.5;

/// Every kind of personal data that [`find`] knows.
pub const PERSONAL: [&str; 12] =
    ["phone", "email", "cn_id", "passport", "bank_card", "iban", "us_ssn", "ip", "plate", "wechat", "qq", "address"];

/// Every kind of secret that [`find`] knows.
pub const SECRETS: [&str; 5] = ["private_key", "api_key", "token", "password", "url_password"];

/// Whether a kind is a secret (a key, a token, a password) and not personal data.
pub fn is_secret(kind: &str) -> bool {
    SECRETS.contains(&kind)
}

/// What in a text looks like personal data or a secret: spots that do not overlap, in order of position.
///
/// Spots below [`FINDING`] are what looks like a value and most likely is none (an order number, a placeholder);
/// they are given so that a policy may set its own threshold.
pub fn find(text: &str) -> Vec<Spot> {
    let surveyed = Text::survey(text);
    if !surveyed.wide {
        return find_in(&surveyed);
    }
    let folded = fold::fold(text);
    let mut spots = find_in(&Text::survey(&folded.text));
    for spot in &mut spots {
        spot.at = folded.origin(spot.at.clone());
    }
    spots
}

fn find_in(text: &Text) -> Vec<Spot> {
    let mut found = Vec::new();
    for g in 0..text.groups.len() {
        if text.reach(g) >= Text::ENOUGH {
            phone::at(text, g, &mut found);
            card::card(text, g, &mut found);
            identity::at(text, g, &mut found);
        }
        if text.lettered(g) {
            card::iban(text, g, &mut found);
        }
        net::ip_v4(text, g, &mut found);
        address::at(text, g, &mut found);
    }
    net::emails(text, &mut found);
    net::ip_v6(text, &mut found);
    local::plates(text, &mut found);
    secret::anchored(text, &mut found);
    apart(found)
}

/// The surest of spots that overlap, the longer one of equally sure ones.
fn apart(mut found: Vec<Spot>) -> Vec<Spot> {
    if found.len() < 2 {
        return found;
    }
    found.sort_by(|a, b| {
        let (len_a, len_b) = (a.at.len(), b.at.len());
        b.confidence.total_cmp(&a.confidence).then(len_b.cmp(&len_a)).then(a.at.start.cmp(&b.at.start))
    });
    let mut kept: BTreeMap<usize, Spot> = BTreeMap::new();
    for spot in found {
        let before = kept.range(..spot.at.end).next_back();
        if before.is_none_or(|(_, other)| other.at.end <= spot.at.start) {
            kept.insert(spot.at.start, spot);
        }
    }
    kept.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spots_are_apart_and_in_order() {
        let text =
            "postgres://app:P3IVFvCXTqzG8y@db.example.com:5432/prod 13912340987@qq.com 电话010-63553377、13912340987";
        let spots = find(text);
        assert!(spots.windows(2).all(|two| two[0].at.end <= two[1].at.start), "{spots:?}");
        let kinds: Vec<_> = spots.iter().filter(|spot| spot.confidence >= FINDING).map(|spot| spot.kind).collect();
        assert_eq!(kinds, ["url_password", "email", "phone", "phone"]);
    }

    #[test]
    fn every_kind_is_one_or_the_other() {
        assert!(SECRETS.iter().all(|kind| is_secret(kind)) && !PERSONAL.iter().any(|kind| is_secret(kind)));
    }

    proptest::proptest! {
        /// No text makes it panic, and ranges are on characters.
        #[test]
        fn any_text_is_taken(text in "[0-9A-Za-z@:./ \\-+()（）０-９＠电话号路护照京\u{200b}é]{0,60}|\\PC{0,40}") {
            for spot in find(&text) {
                proptest::prop_assert!(text.get(spot.at).is_some());
            }
        }
    }
}
