//! Weight files as a Hugging Face folder has them: one, or several of some size and an index.

use serde_json::json;
use std::collections::BTreeMap;
use weights::Declared;

/// Bytes of tensors in a file, but for one that is larger alone.
const FILE_BYTES: usize = 5 << 30;

/// In order, as many to a file as it holds.
pub(crate) fn split<T>(parts: impl IntoIterator<Item = T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut files, mut filled): (Vec<Vec<T>>, usize) = (Vec::new(), 0);
    for part in parts {
        let more = bytes(&part);
        match files.last_mut() {
            Some(file) if filled + more <= FILE_BYTES => file.push(part),
            _ => {
                files.push(vec![part]);
                filled = 0;
            }
        }
        filled += more;
    }
    files
}

pub(crate) fn names(count: usize) -> Vec<String> {
    match count {
        0 | 1 => vec!["model.safetensors".to_owned()],
        _ => (1..=count).map(|i| format!("model-{i:05}-of-{count:05}.safetensors")).collect(),
    }
}

/// The index of several files: which tensor is in which.
pub(crate) fn index(files: &[Vec<Declared>]) -> Option<Vec<u8>> {
    if files.len() < 2 {
        return None;
    }
    let names = names(files.len());
    let of_file = |(file, name): (&Vec<Declared>, &String)| {
        file.iter().map(|t| (t.name.clone(), name.clone())).collect::<Vec<_>>()
    };
    let map: BTreeMap<String, String> = files.iter().zip(&names).flat_map(of_file).collect();
    let total: u64 = files.iter().flatten().map(|t| t.bytes() as u64).sum();
    Some(json!({"metadata": {"total_size": total}, "weight_map": map}).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weights::Dtype;

    #[test]
    fn files_hold_what_fits_and_the_index_says_which() {
        let tensor =
            |name: &str, rows: usize| Declared { name: name.into(), dtype: Dtype::U8, shape: vec![rows, 1 << 30] };
        let sizes = [("a", 2), ("b", 3), ("c", 1), ("d", 9), ("e", 5)];
        let files = split(sizes.map(|(n, rows)| tensor(n, rows)), Declared::bytes);
        let held: Vec<String> = files.iter().map(|f| f.iter().map(|t| t.name.as_str()).collect()).collect();
        assert_eq!(held, ["ab", "c", "d", "e"]);
        let index: serde_json::Value = serde_json::from_slice(&index(&files).expect("several")).expect("JSON");
        assert_eq!(index["weight_map"]["d"], "model-00003-of-00004.safetensors");
        assert_eq!(index["metadata"]["total_size"], 20u64 << 30);
        assert_eq!(super::index(&files[..1]), None);
        assert_eq!(names(1), ["model.safetensors"]);
    }
}
