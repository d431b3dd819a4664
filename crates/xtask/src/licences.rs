//! Licences of the dependencies: with any of them, the program can be given on under MIT or Apache-2.0.

use crate::Outcome;
use crate::workspace::Workspace;
use spdx::{Expression, ParseMode};

const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

pub fn licences(workspace: &Workspace) -> Outcome {
    let foreign = workspace.packages().filter(|package| !package["source"].is_null());
    let problems = foreign.filter_map(|package| {
        let why = refused(package["license"].as_str())?;
        let text = |key: &str| package[key].as_str().unwrap_or("?").to_owned();
        Some(format!("{} {}: {why}", text("name"), text("version")))
    });
    Outcome::of(problems.collect())
}

/// Why a licence is not good enough; None if it is. Additional permissions (`WITH …-exception`) only give more.
fn refused(licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else { return Some("names no licence".into()) };
    // Older packages write `MIT/Apache-2.0`.
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(e) => return Some(format!("its licence {licence:?} cannot be read: {}", e.reason)),
    };
    let allowed = |name: &str| ALLOWED.contains(&name);
    let good = expression.evaluate(|part| part.license.id().is_some_and(|id| allowed(id.name)));
    (!good).then(|| format!("its licence {licence:?} is not one of those allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_weighed() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT OR GPL-3.0-only",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
        ] {
            assert_eq!(refused(Some(good)), None);
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-2.0-or-later", "MPL-2.0", "LicenseRef-Own", "no licence at all", ""] {
            assert!(refused(Some(bad)).is_some(), "{bad}");
        }
        assert_eq!(refused(None).as_deref(), Some("names no licence"));
    }
}
