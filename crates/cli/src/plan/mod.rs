//! From a plan file and `--set` to the plan as meant.

mod de;
mod error;
pub mod keys;
mod mix;
mod node;
mod resolve;
mod suggest;
mod typed;

pub use error::PlanError;
pub use node::Set;

use de::{Cause, DeError};
use node::Node;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A plan is a page of text; a larger file is some other file.
const PLAN_BYTES_MAX: u64 = 1 << 20;

/// Reads the plan at `path`, lays `sets` over it in order, and resolves it.
pub fn load(path: &Path, sets: &[Set]) -> Result<train::Plan, PlanError> {
    let text = read(path)?;
    let outputs = std::env::current_dir().map_err(|source| PlanError::CurrentDir { source })?;
    let inputs = outputs.join(path.parent().unwrap_or(Path::new("")));
    let cache = user_cache();
    parse(&text, path, sets, &resolve::Roots { inputs: &inputs, outputs: &outputs, cache: cache.as_deref() })
}

/// `athanor` in the folder that the system has for what can be made again; None where it names none.
fn user_cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(below_home)))?;
    Some(caches.join("athanor"))
}

fn read(path: &Path) -> Result<String, PlanError> {
    let failed = |source| PlanError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PLAN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PLAN_BYTES_MAX {
        return Err(PlanError::TooLarge { path: path.to_owned(), bytes_max: PLAN_BYTES_MAX });
    }
    String::from_utf8(bytes)
        .map_err(|e| PlanError::NotUtf8 { path: path.to_owned(), offset: e.utf8_error().valid_up_to() })
}

fn parse(text: &str, path: &Path, sets: &[Set], roots: &resolve::Roots<'_>) -> Result<train::Plan, PlanError> {
    let mut tree = Node::parse(text, path)?;
    for set in sets {
        tree.set(set)?;
    }
    let file = de::typed(&tree).map_err(|e| explain(e, &tree))?;
    resolve::resolve(file, &tree, roots)
}

/// serde's causes in a plan's words.
fn explain(e: DeError, tree: &Node) -> PlanError {
    let inside = e.key();
    let dotted = |key: &str| if inside.is_empty() { key.to_owned() } else { format!("{inside}.{key}") };
    let at = e.at.clone().unwrap_or_else(|| tree.at.clone());
    match e.cause {
        Cause::UnknownKey { key, known } => {
            let nearest = suggest::translated(&key)
                .or_else(|| suggest::elsewhere(&key))
                .map(str::to_owned)
                .or_else(|| suggest::nearest(&key, known.iter().copied()).map(dotted));
            PlanError::UnknownKey { at, key: crate::ui::text::visible(&dotted(&key)), known, nearest }
        }
        Cause::UnknownChoice { got, choices } => PlanError::UnknownChoice {
            at,
            key: inside,
            nearest: suggest::nearest(&got, choices.iter().copied()).map(str::to_owned),
            got: crate::ui::text::visible(&got),
            choices,
        },
        Cause::Missing { key } => PlanError::Missing { at, key: dotted(key) },
        Cause::Expected(expected) if inside.is_empty() => PlanError::NotAPlan { at, expected, got: e.got },
        Cause::Expected(expected) => PlanError::WrongType { at, key: inside, expected, got: e.got },
    }
}

#[cfg(test)]
mod tests;
