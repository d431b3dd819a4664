use crate::leftovers;
use runfs::{Fault, FaultyFs, Fs, Journal, RunFsError, create_dir_durable, publish_dir, publish_file, writable};
use std::path::Path;

#[test]
fn a_read_only_place_is_refused_by_all_that_write() {
    let fs = FaultyFs::new();
    create_dir_durable(&fs, Path::new("run")).unwrap();
    fs.make_read_only();
    let attempts = [
        writable(&fs, Path::new("run")),
        writable(&fs, Path::new("run/not/there/yet")),
        create_dir_durable(&fs, Path::new("run/new")),
        publish_file(&fs, Path::new("run/a"), b"x"),
        publish_dir(&fs, Path::new("run/b"), &mut |_| Ok(())).map(drop),
        Journal::open(&fs, Path::new("run/c")).map(drop),
    ];
    for result in attempts {
        let error = result.unwrap_err();
        assert!(matches!(error, RunFsError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("cannot be written: read-only"), "{error}");
    }
}

#[test]
fn the_probe_leaves_nothing_whatever_happens() {
    let base = FaultyFs::new();
    create_dir_durable(&base, Path::new("run")).unwrap();
    writable(&base, Path::new("run/deep/er")).unwrap();
    assert!(!base.exists(Path::new("run/deep")));
    for fault in [Fault::Io, Fault::NoSpace] {
        for n in 1.. {
            let fs = base.copy();
            fs.fail_after(n, fault);
            let result = writable(&fs, Path::new("run"));
            if !fs.fired() {
                assert!(result.is_ok() && n > 2);
                break;
            }
            let error = result.unwrap_err();
            // What cannot be removed stays; everything else is removed.
            let removing = fs.operations() == 4 && n == 4;
            assert_eq!(leftovers(&fs).is_empty(), !removing, "{n}: {error}");
        }
    }
}

#[test]
fn a_created_folder_survives_with_all_above_it() {
    let fs = FaultyFs::new();
    create_dir_durable(&fs, Path::new("a/b/c")).unwrap();
    for image in fs.crash_images() {
        assert!(image.fs.is_dir(Path::new("a/b/c")));
    }
}

#[test]
fn what_was_not_synced_may_be_gone_torn_or_zeroed() {
    let fs = FaultyFs::new();
    fs.create(Path::new("f")).unwrap().write_all(b"abcd").unwrap();
    let images = fs.crash_images();
    let mut found: Vec<Option<Vec<u8>>> = images
        .iter()
        .map(|image| image.fs.exists(Path::new("f")).then(|| image.fs.read(Path::new("f")).unwrap()))
        .collect();
    found.sort();
    found.dedup();
    let expected = [None, Some(&b""[..]), Some(b"\0\0\0\0"), Some(b"ab"), Some(b"abcd")];
    assert_eq!(found, expected.map(|content| content.map(<[u8]>::to_vec)));
    fs.append(Path::new("f")).unwrap().sync_all().unwrap();
    fs.sync_dir(Path::new(".")).unwrap();
    assert!(fs.crash_images().iter().all(|image| image.fs.read(Path::new("f")).unwrap() == b"abcd"));
}
