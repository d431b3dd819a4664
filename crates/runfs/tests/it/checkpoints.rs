use crate::{fill, leftovers, with_every_fault};
use runfs::{Checkpoints, Damage, Fault, FaultyFs, Fs, MANIFEST, RunFsError, verify_dir};
use std::path::Path;

const DIR: &str = "run/checkpoints";

fn store(keep: usize) -> Checkpoints {
    Checkpoints { dir: DIR.into(), keep }
}

fn publish(fs: &FaultyFs, step: u64) -> Result<(), RunFsError> {
    store(2).publish(fs, step, &mut |staged| fill(staged, &format!("step {step}"))).map(drop)
}

fn with_steps(steps: &[u64]) -> FaultyFs {
    let fs = FaultyFs::new();
    for step in steps {
        publish(&fs, *step).unwrap();
    }
    fs
}

fn newest(fs: &FaultyFs) -> Option<u64> {
    let search = store(2).newest_valid(fs).unwrap();
    assert!(search.skipped.is_empty(), "{:?}", search.skipped);
    assert_eq!(leftovers(fs), [""; 0]);
    search.found.map(|found| found.step)
}

fn valid(fs: &FaultyFs) -> usize {
    let steps = store(2).steps(fs).unwrap();
    steps.iter().filter(|step| verify_dir(fs, &store(2).path(**step)).is_ok()).count()
}

#[test]
fn a_power_cut_while_publishing_and_rotating_costs_no_checkpoint() {
    for exchange in ["with", "without"] {
        let base = with_steps(&[1, 2, 3]);
        let fs = if exchange == "with" { base } else { base.without_exchange() };
        fs.record_crashes();
        publish(&fs, 4).unwrap();
        store(2).rotate(&fs, &[1]).unwrap();
        for image in fs.take_crashes() {
            let found = newest(&image.fs);
            assert!(found == Some(3) || found == Some(4), "{}: {found:?}", image.after);
            let there = store(2).steps(&image.fs).unwrap().len();
            assert!(there >= 3 && valid(&image.fs) == there, "{}: a half of one is there", image.after);
            assert!(image.fs.exists(&store(2).path(1)), "{}: the protected one is gone", image.after);
        }
        assert_eq!(store(2).steps(&fs).unwrap(), [1, 3, 4]);
        assert!(fs.crash_images().iter().all(|image| newest(&image.fs) == Some(4)));
    }
}

#[test]
fn a_power_cut_while_the_first_is_published_leaves_it_or_none() {
    let fs = FaultyFs::new();
    fs.record_crashes();
    publish(&fs, 1).unwrap();
    for image in fs.take_crashes() {
        let found = newest(&image.fs);
        assert!(found.is_none() || found == Some(1), "{}", image.after);
    }
}

#[test]
fn a_step_published_twice_is_replaced_whole() {
    for base in [with_steps(&[1, 2]), with_steps(&[1, 2]).without_exchange()] {
        base.record_crashes();
        store(2).publish(&base, 2, &mut |staged| staged.file("a", &mut |out| out.write_all(b"again"))).unwrap();
        for image in base.take_crashes() {
            assert_eq!(newest(&image.fs), Some(2), "{}", image.after);
        }
    }
}

#[test]
fn every_fault_leaves_the_older_checkpoints_and_nothing_temporary() {
    for fault in [Fault::Io, Fault::NoSpace] {
        let attempt = |fs: &FaultyFs| publish(fs, 4).and_then(|()| store(2).rotate(fs, &[]));
        with_every_fault(&with_steps(&[1, 2, 3]), fault, attempt, |fs, result| {
            assert_eq!(leftovers(fs), [""; 0], "{result:?}");
            for image in fs.crash_images() {
                let found = newest(&image.fs);
                assert!(found == Some(3) || found == Some(4), "{result:?}: {found:?}");
                assert!(valid(&image.fs) >= 2, "{result:?}");
            }
        });
    }
}

#[test]
fn damaged_ones_are_skipped_with_their_reason() {
    let base = with_steps(&[50, 100, 150]);
    for name in ["state.json", "deep/er/weights.bin", MANIFEST] {
        let path = store(2).path(150).join(name);
        for at in 0..base.len(&path).unwrap() as usize {
            let fs = base.copy();
            fs.damage(&path, |bytes| bytes[at] ^= 4).unwrap();
            let search = store(2).newest_valid(&fs).unwrap();
            assert_eq!(search.found.unwrap().step, 100);
            assert_eq!(search.skipped.len(), 1);
            assert_eq!(search.skipped[0].path, store(2).path(150));
            assert!(matches!(&search.skipped[0].why, RunFsError::Corrupt { path: at, .. } if *at == path));
        }
    }
    let fs = base.copy();
    fs.damage(&store(2).path(150).join("state.json"), |bytes| bytes.clear()).unwrap();
    fs.remove_file(&store(2).path(100).join(MANIFEST)).unwrap();
    let flipped = store(2).path(50).join("state.json");
    fs.damage(&flipped, |bytes| bytes[0] = b'X').unwrap();
    let search = store(2).newest_valid(&fs).unwrap();
    assert!(search.found.is_none());
    let why: Vec<&RunFsError> = search.skipped.iter().map(|skipped| &skipped.why).collect();
    assert!(matches!(why[0], RunFsError::Corrupt { damage: Damage::Length { expected: 18, got: 0 }, .. }), "{why:?}");
    assert!(matches!(why[1], RunFsError::Corrupt { damage: Damage::Missing, .. }), "{why:?}");
    let text = why[2].to_string();
    assert!(text.starts_with("run/checkpoints/step-00000050/state.json: its sha256 is "), "{text}");
}

#[test]
fn rotation_keeps_two_valid_ones_and_the_protected() {
    let check = |keep, protect: &[u64], damaged: &[u64], stay: &[u64]| {
        let fs = with_steps(&[1, 2, 3, 4, 5]);
        for step in damaged {
            fs.damage(&store(2).path(*step).join("state.json"), |bytes| bytes[3] ^= 1).unwrap();
        }
        store(keep).rotate(&fs, protect).unwrap();
        let left = store(keep).steps(&fs).unwrap();
        assert_eq!(left, stay, "keep {keep}, protect {protect:?}, damaged {damaged:?}");
    };
    check(2, &[], &[], &[4, 5]);
    check(3, &[], &[], &[3, 4, 5]);
    check(0, &[], &[], &[4, 5]);
    check(9, &[], &[], &[1, 2, 3, 4, 5]);
    check(2, &[2], &[], &[2, 4, 5]);
    check(2, &[], &[5], &[3, 4, 5]);
    check(2, &[], &[2, 4, 5], &[1, 2, 3, 4, 5]);
    check(2, &[], &[3, 4, 5], &[1, 2, 3, 4, 5]);
    check(2, &[], &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]);
}

#[test]
fn only_names_of_steps_count_and_large_steps_sort() {
    let fs = with_steps(&[7, 99_999_999, 100_000_000]);
    for name in ["step-9", "step-x", "other", "step-00000008.bak"] {
        fs.create_dir_all(&Path::new(DIR).join(name)).unwrap();
    }
    assert_eq!(store(2).steps(&fs).unwrap(), [7, 99_999_999, 100_000_000]);
    assert_eq!(newest(&fs), Some(100_000_000));
}

#[test]
fn no_folder_is_no_checkpoint() {
    let search = store(2).newest_valid(&FaultyFs::new()).unwrap();
    assert!(search.found.is_none() && search.skipped.is_empty());
}
