use crate::fill;
use runfs::{
    Checkpoints, Fs, Journal, RealFs, RunFsError, publish_dir, publish_file, recover_dir, verify_dir, writable,
};
use std::io::ErrorKind;
use std::path::Path;

#[test]
fn files_and_folders_are_published_and_replaced() {
    let root = tempfile::tempdir().unwrap();
    let (file, dir) = (root.path().join("a/run.json"), root.path().join("a/best"));
    for tag in ["one", "two", "three"] {
        publish_file(&RealFs, &file, tag.as_bytes()).unwrap();
        publish_dir(&RealFs, &dir, &mut |staged| fill(staged, tag)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), tag);
        verify_dir(&RealFs, &dir).unwrap();
        assert!(std::fs::read_to_string(dir.join("state.json")).unwrap().contains(tag));
        assert_eq!(RealFs.list(&root.path().join("a")).unwrap(), ["best", "run.json"].map(Path::new));
    }
}

#[test]
fn a_folder_set_aside_returns() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("best");
    publish_dir(&RealFs, &dir, &mut |staged| fill(staged, "old")).unwrap();
    RealFs.rename(&dir, &root.path().join("best.old")).unwrap();
    RealFs.create_dir_all(&root.path().join("best.tmp/half")).unwrap();
    recover_dir(&RealFs, &dir).unwrap();
    verify_dir(&RealFs, &dir).unwrap();
    assert_eq!(RealFs.list(root.path()).unwrap(), [Path::new("best")]);
}

#[test]
fn checkpoints_and_journals_work_on_it() {
    let root = tempfile::tempdir().unwrap();
    let store = Checkpoints { dir: root.path().join("checkpoints"), keep: 2 };
    let path = root.path().join("metrics.jsonl");
    let mut journal = Journal::open(&RealFs, &path).unwrap();
    for step in 1..=4 {
        journal.append(&serde_json::json!({"step": step})).unwrap();
        journal.sync().unwrap();
        store.publish(&RealFs, step, &mut |staged| fill(staged, "x")).unwrap();
        store.rotate(&RealFs, &[1]).unwrap();
    }
    assert_eq!(store.steps(&RealFs).unwrap(), [1, 3, 4]);
    assert_eq!(store.newest_valid(&RealFs).unwrap().found.unwrap().step, 4);
    Journal::cut_back(&RealFs, &path, &|line| line["step"].as_u64() < Some(3)).unwrap();
    Journal::open(&RealFs, &path).unwrap().append(&"next").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n\"next\"\n");
}

#[test]
fn the_operations_mean_what_the_trait_says() {
    let root = tempfile::tempdir().unwrap();
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    RealFs.create(&a).unwrap().write_all(b"12345").unwrap();
    assert_eq!(RealFs.create(&a).err().unwrap().kind(), ErrorKind::AlreadyExists);
    RealFs.truncate(&a, 2).unwrap();
    RealFs.append(&a).unwrap().write_all(b"x").unwrap();
    assert_eq!((RealFs.read(&a).unwrap(), RealFs.len(&a).unwrap()), (b"12x".to_vec(), 3));
    RealFs.create(&b).unwrap();
    if cfg!(target_os = "linux") {
        RealFs.exchange(&a, &b).unwrap();
        assert_eq!(RealFs.read(&b).unwrap(), b"12x");
    }
    assert!(RealFs.free_bytes(&root.path().join("not/there")).unwrap() > 0);
    assert!(RealFs.free_bytes(Path::new("not-there-either")).unwrap() > 0);
    assert!(RealFs.is_dir(root.path()) && !RealFs.is_dir(&b) && !RealFs.exists(&root.path().join("c")));
    writable(&RealFs, &root.path().join("deep/er")).unwrap();
    assert_eq!(RealFs.list(root.path()).unwrap().len(), 2);
}

#[test]
fn hashes_are_sha256() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("abc");
    assert!(matches!(runfs::sha256_file(&path), Err(RunFsError::Io { op: "read", .. })));
    publish_file(&RealFs, &path, b"abc").unwrap();
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((runfs::sha256_file(&path).unwrap(), runfs::sha256_hex(b"abc")), (expected.into(), expected.into()));
}
