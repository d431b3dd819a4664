use crate::{fill, leftovers, text, with_every_fault};
use runfs::{
    Damage, Fault, FaultyFs, Fs, MANIFEST, RunFsError, publish_dir, publish_file, publish_file_with, recover_dir,
    verify_dir, verify_dir_with,
};
use std::io::{ErrorKind, Write};
use std::path::Path;

const FILE: &str = "run/sub/run.json";
const DIR: &str = "run/best";

/// A disk with the file (or without).
fn file_base(old: Option<&str>) -> FaultyFs {
    let fs = FaultyFs::new();
    if let Some(old) = old {
        publish_file(&fs, Path::new(FILE), old.as_bytes()).unwrap();
    }
    fs
}

/// Disks with the folder (or without), with and without the exchange of two entries.
fn dir_bases(old: Option<&str>) -> [FaultyFs; 2] {
    [FaultyFs::new(), FaultyFs::new().without_exchange()].map(|fs| {
        if let Some(old) = old {
            publish_dir(&fs, Path::new(DIR), &mut |staged| fill(staged, old)).unwrap();
        }
        fs
    })
}

/// The tag of the folder, None if there is none; panics on a mixture.
fn tag(fs: &FaultyFs, at: &str) -> Option<String> {
    recover_dir(fs, Path::new(DIR)).unwrap();
    assert_eq!(leftovers(fs), [""; 0], "{at}");
    if !fs.exists(Path::new(DIR)) {
        return None;
    }
    verify_dir(fs, Path::new(DIR)).unwrap_or_else(|e| panic!("{at}: {e}"));
    let state = text(fs, &Path::new(DIR).join("state.json")).unwrap();
    let tag = state.split('"').nth(3).unwrap().to_owned();
    assert!(text(fs, &Path::new(DIR).join("deep/er/weights.bin")).unwrap().starts_with(&tag), "{at}: a mixture");
    Some(tag)
}

#[test]
fn a_power_cut_leaves_the_old_file_or_the_new() {
    for old in [None, Some("old content"), Some("")] {
        for write_max in [3, usize::MAX] {
            let fs = file_base(old).copy();
            fs.shorten_writes(write_max);
            fs.record_crashes();
            publish_file(&fs, Path::new(FILE), b"the new content").unwrap();
            for image in fs.take_crashes() {
                let found = text(&image.fs, Path::new(FILE));
                assert!(
                    found.as_deref() == old || found.as_deref() == Some("the new content"),
                    "{}: {found:?}",
                    image.after
                );
            }
            for image in fs.crash_images() {
                assert_eq!(text(&image.fs, Path::new(FILE)).as_deref(), Some("the new content"), "not durable");
            }
        }
    }
}

#[test]
fn a_power_cut_leaves_the_old_folder_or_the_new() {
    for old in [None, Some("old")] {
        for base in dir_bases(old) {
            let fs = base.copy();
            fs.record_crashes();
            publish_dir(&fs, Path::new(DIR), &mut |staged| fill(staged, "new")).unwrap();
            let images = fs.take_crashes();
            assert!(images.len() > 20, "only {} states tried", images.len());
            for image in images {
                // A second power cut during the recovery from the first.
                let again = image.fs.copy();
                again.record_crashes();
                recover_dir(&again, Path::new(DIR)).unwrap();
                for second in again.take_crashes() {
                    let found = tag(&second.fs, &second.after);
                    assert!(found.as_deref() == old || found.as_deref() == Some("new"), "{}", second.after);
                }
                let found = tag(&image.fs, &image.after);
                assert!(found.as_deref() == old || found.as_deref() == Some("new"), "{}: {found:?}", image.after);
            }
            for image in fs.crash_images() {
                assert_eq!(tag(&image.fs, "at the end").as_deref(), Some("new"), "not durable");
            }
        }
    }
}

#[test]
fn with_exchange_there_is_no_moment_without_a_valid_folder() {
    let [fs, _] = dir_bases(Some("old"));
    fs.record_crashes();
    publish_dir(&fs, Path::new(DIR), &mut |staged| fill(staged, "new")).unwrap();
    for image in fs.take_crashes() {
        verify_dir(&image.fs, Path::new(DIR)).unwrap_or_else(|e| panic!("{}: {e}", image.after));
    }
}

type Attempt<'a> = &'a dyn Fn(&FaultyFs) -> Result<(), RunFsError>;

#[test]
fn every_fault_leaves_a_whole_file_and_nothing_temporary() {
    for fault in [Fault::Io, Fault::NoSpace] {
        for old in [None, Some("old content")] {
            let whole = |fs: &FaultyFs| publish_file(fs, Path::new(FILE), b"new content");
            let pieces = |fs: &FaultyFs| {
                let write =
                    &mut |out: &mut dyn Write| b"new content".chunks(3).try_for_each(|piece| out.write_all(piece));
                publish_file_with(fs, Path::new(FILE), write)
            };
            for attempt in [&whole as Attempt, &pieces] {
                with_every_fault(&file_base(old), fault, attempt, |fs, result| {
                    let error = result.unwrap_err();
                    let found = text(fs, Path::new(FILE));
                    let synced_late = error.to_string().starts_with("cannot sync run/sub:");
                    let expected = if synced_late { Some("new content") } else { old };
                    assert_eq!(found.as_deref(), expected, "{error}");
                    assert_eq!(leftovers(fs), [""; 0], "{error}");
                    check_kind(fault, &error);
                });
            }
        }
    }
}

#[test]
fn an_error_of_the_one_who_writes_comes_back() {
    let fs = file_base(Some("old content"));
    let error = publish_file_with(&fs, Path::new(FILE), &mut |out| {
        out.write_all(b"new")?;
        Err(std::io::Error::other("no more to say"))
    });
    assert_eq!(error.unwrap_err().to_string(), "cannot write run/sub/run.json: no more to say");
    assert_eq!(text(&fs, Path::new(FILE)).as_deref(), Some("old content"));
    assert_eq!(leftovers(&fs), [""; 0]);
}

#[test]
fn every_fault_leaves_a_whole_folder_and_nothing_temporary() {
    for fault in [Fault::Io, Fault::NoSpace] {
        for old in [None, Some("old")] {
            for base in dir_bases(old) {
                let attempt = |fs: &FaultyFs| publish_dir(fs, Path::new(DIR), &mut |staged| fill(staged, "new"));
                with_every_fault(&base, fault, attempt, |fs, result| {
                    let error = result.unwrap_err();
                    assert_eq!(leftovers(fs), [""; 0], "{error}");
                    let found = tag(fs, &error.to_string());
                    assert!(found.as_deref() == old || found.as_deref() == Some("new"), "{error}: {found:?}");
                    if fault == Fault::NoSpace {
                        assert_eq!(found.as_deref(), old, "{error}");
                    }
                    check_kind(fault, &error);
                    // Even if the power goes right after the error.
                    for image in fs.crash_images() {
                        let found = tag(&image.fs, "after the error");
                        assert!(found.as_deref() == old || found.as_deref() == Some("new"), "{error}: {found:?}");
                    }
                });
            }
        }
    }
}

fn check_kind(fault: Fault, error: &RunFsError) {
    match fault {
        Fault::Io => assert!(matches!(error, RunFsError::Io { .. }), "{error:?}"),
        Fault::NoSpace => assert!(matches!(error, RunFsError::DiskFull { .. }), "{error:?}"),
    }
}

#[test]
fn a_full_disk_is_told_with_bytes_needed_and_free() {
    let old = "old";
    for base in dir_bases(Some(old)) {
        let used: usize = base.contents().values().flatten().map(|c| c.len()).sum();
        let publish = |free: u64| {
            let fs = base.copy();
            fs.set_capacity(used as u64 + free);
            let result = publish_dir(&fs, Path::new(DIR), &mut |staged| fill(staged, "new"));
            (fs, result)
        };
        let enough = (1..).find(|free| publish(*free).1.is_ok()).unwrap();
        for room in 0..enough {
            let (fs, result) = publish(room);
            let error = result.unwrap_err();
            let RunFsError::DiskFull { path, needed, free } = &error else { panic!("{error:?}") };
            assert_eq!((path.as_path(), *free), (Path::new(DIR), room), "{error}");
            assert!(*needed > room && *needed <= enough, "{error}; enough would be {enough}");
            assert!(error.to_string().contains(&format!("at least {needed} bytes, {room} are free")), "{error}");
            assert_eq!(tag(&fs, "full").as_deref(), Some(old));
        }
    }
    let fs = FaultyFs::new();
    fs.set_capacity(10);
    let error = publish_file(&fs, Path::new("f"), &[0; 25]).unwrap_err();
    assert_eq!(error.to_string(), "the disk is full: f needs at least 25 bytes, 10 are free");
}

#[test]
fn every_flipped_byte_and_every_cut_is_found_and_its_file_named() {
    let base = FaultyFs::new();
    let published = publish_dir(&base, Path::new(DIR), &mut |staged| fill(staged, "x")).unwrap();
    assert_eq!(verify_dir(&base, Path::new(DIR)).unwrap(), published);
    for name in ["state.json", "deep/er/weights.bin", MANIFEST] {
        let path = Path::new(DIR).join(name);
        let len = base.len(&path).unwrap() as usize;
        for at in 0..len {
            for flip in [0x01, 0x20, 0x80] {
                let fs = base.copy();
                fs.damage(&path, |bytes| bytes[at] ^= flip).unwrap();
                expect_corrupt(&fs, &path);
            }
            let fs = base.copy();
            fs.damage(&path, |bytes| bytes.truncate(at)).unwrap();
            expect_corrupt(&fs, &path);
        }
        let fs = base.copy();
        fs.damage(&path, |bytes| bytes.push(b'\n')).unwrap();
        expect_corrupt(&fs, &path);
        let fs = base.copy();
        fs.remove_file(&path).unwrap();
        assert_eq!(expect_corrupt(&fs, &path), Damage::Missing);
    }
    let fs = base.copy();
    drop(fs.create(&Path::new(DIR).join("deep/more")).unwrap());
    assert_eq!(expect_corrupt(&fs, &Path::new(DIR).join("deep/more")), Damage::Extra);
}

fn expect_corrupt(fs: &FaultyFs, expected: &Path) -> Damage {
    match verify_dir(fs, Path::new(DIR)) {
        Err(RunFsError::Corrupt { path, damage }) if path == expected => damage,
        other => panic!("{}: {other:?}", expected.display()),
    }
}

#[test]
fn what_an_earlier_run_left_behind_is_removed() {
    for base in dir_bases(Some("old")) {
        base.create_dir_all(Path::new("run/best.tmp/junk")).unwrap();
        drop(base.create(Path::new("run/sub.json.tmp")).unwrap());
        publish_dir(&base, Path::new(DIR), &mut |staged| fill(staged, "new")).unwrap();
        publish_file(&base, Path::new("run/sub.json"), b"x").unwrap();
        assert_eq!(tag(&base, "published over leftovers").as_deref(), Some("new"));
    }
}

#[test]
fn names_that_leave_the_folder_or_repeat_are_refused() {
    for (name, why) in [
        ("", "not a plain relative path"),
        ("/etc/x", "not a plain relative path"),
        ("../x", "not a plain relative path"),
        ("a/../../x", "not a plain relative path"),
        ("a//b", "not a plain relative path"),
        ("./a", "not a plain relative path"),
        (MANIFEST, "the manifest's"),
        ("twice", "used before"),
    ] {
        let fs = FaultyFs::new();
        let result = publish_dir(&fs, Path::new(DIR), &mut |staged| {
            staged.file("twice", &mut |out| out.write_all(b"1"))?;
            staged.file(name, &mut |out| out.write_all(b"2"))
        });
        match result {
            Err(RunFsError::Name { why: got, .. }) => assert_eq!(got, why, "{name:?}"),
            other => panic!("{name:?}: {other:?}"),
        }
        assert_eq!(tag(&fs, name), None);
    }
}

#[test]
fn an_error_of_the_writer_comes_back() {
    let fs = FaultyFs::new();
    let result = publish_dir(&fs, Path::new(DIR), &mut |staged| {
        staged.file("a", &mut |_| Err(std::io::Error::new(ErrorKind::InvalidData, "tensor w has no values")))
    });
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "cannot write run/best/a: tensor w has no values");
    assert_eq!(leftovers(&fs), [""; 0]);
}

#[test]
fn a_slash_at_the_end_makes_no_difference() {
    let fs = FaultyFs::new().without_exchange();
    for tag in ["one", "two"] {
        publish_dir(&fs, Path::new("run/best/"), &mut |staged| fill(staged, tag)).unwrap();
    }
    assert_eq!(tag(&fs, "published with a slash").as_deref(), Some("two"));
}

#[test]
fn an_empty_folder_can_be_published() {
    let fs = FaultyFs::new();
    publish_dir(&fs, Path::new(DIR), &mut |_| Ok(())).unwrap();
    assert!(verify_dir(&fs, Path::new(DIR)).unwrap().files.is_empty());
}

#[test]
fn verifying_is_told_and_ends_where_it_is_not_wanted() {
    let [fs, _] = dir_bases(Some("new"));
    let mut told = Vec::new();
    let manifest = verify_dir_with(&fs, Path::new(DIR), &mut |bytes, total| {
        told.push((bytes, total));
        true
    });
    let total = manifest.unwrap().bytes();
    assert_eq!(told.last(), Some(&(total, total)));
    assert!(told.len() > 1 && told.is_sorted(), "{told:?}");
    let stopped = verify_dir_with(&fs, Path::new(DIR), &mut |_, _| false);
    assert!(matches!(stopped, Err(RunFsError::Io { .. })), "{stopped:?}");
}
