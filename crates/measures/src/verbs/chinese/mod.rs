//! Requests in Chinese.

use super::Analysis;

pub fn analyse(_text: &str) -> Analysis {
    Analysis::default()
}
