//! Files as the reference writes them.

use crate::files::{fixtures, named};
use std::collections::BTreeMap;
use std::fs;
use tempfile::tempdir;
use weights::{Checkpoint, WeightsError, safetensors_bytes, write_safetensors};

/// Reads each f32 file that PEFT wrote and writes its tensors again, in reverse order: the same bytes.
#[test]
fn the_references_adapters_are_written_byte_for_byte() {
    let mut files = named(&fixtures().join("peft"), "adapter_model.safetensors");
    files.extend(named(&fixtures().join("forward"), "adapter_model.safetensors"));
    assert!(files.len() >= 30, "{}", files.len());
    for path in files {
        let c = Checkpoint::open_file(&path).unwrap();
        let values: Vec<_> =
            c.names().map(|n| (n, c.get(n).unwrap())).map(|(n, v)| (n, v.shape, v.to_f32().unwrap())).collect();
        let listed: Vec<_> = values.iter().rev().map(|(n, s, v)| ((*n).to_owned(), s.to_vec(), v.as_slice())).collect();
        let bytes = safetensors_bytes(&listed, c.metadata()).unwrap();
        assert!(bytes == fs::read(&path).unwrap(), "{}", path.display());
    }
}

#[test]
fn what_is_written_is_read() {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("a".to_owned(), "\"é\"".to_owned())]);
    let (long, nan) = (vec![0.25; 1000], [f32::NAN, f32::NEG_INFINITY]);
    let listed = [
        ("b".to_owned(), vec![10, 100], long.as_slice()),
        ("é \"quoted\"".to_owned(), vec![2], &nan[..]),
        ("a".to_owned(), vec![], &[1.5][..]),
        ("empty".to_owned(), vec![3, 0], &[][..]),
    ];
    let dir = tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    write_safetensors(&mut fs::File::create(&path).unwrap(), &listed, &metadata).unwrap();
    assert_eq!(fs::read(&path).unwrap(), safetensors_bytes(&listed, &metadata).unwrap());

    let c = Checkpoint::open_file(&path).unwrap();
    assert_eq!(*c.metadata(), metadata);
    for (name, shape, values) in &listed {
        let view = c.get(name).unwrap();
        assert_eq!(view.shape, shape);
        assert_eq!(view.bytes, bytemuck::cast_slice::<f32, u8>(values), "{name}");
    }
    // And by the crate that the field uses.
    let bytes = fs::read(&path).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), 4);
}

#[test]
fn what_cannot_be_written() {
    let none = BTreeMap::new();
    let one = [1.0];
    let twice = [("a".to_owned(), vec![1], &one[..]), ("a".to_owned(), vec![1], &one[..])];
    let e = safetensors_bytes(&twice, &none).unwrap_err();
    assert!(matches!(&e, WeightsError::NameTaken { tensor } if tensor == "a"), "{e}");
    let reserved = [("__metadata__".to_owned(), vec![1], &one[..])];
    assert!(matches!(safetensors_bytes(&reserved, &none), Err(WeightsError::NameTaken { .. })));
    for shape in [vec![2], vec![1, 0], vec![usize::MAX, 2]] {
        let wrong = [("a".to_owned(), shape.clone(), &one[..])];
        let e = safetensors_bytes(&wrong, &none).unwrap_err();
        assert!(matches!(&e, WeightsError::ValueCount { shape: s, got: 1, .. } if *s == shape), "{e}");
        let mut out = Vec::new();
        let e = write_safetensors(&mut out, &wrong, &none).unwrap_err();
        assert!(e.kind() == std::io::ErrorKind::InvalidInput && out.is_empty());
    }
}
