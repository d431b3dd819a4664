//! A full and a read-only disk, as small mounts of their own (RELIABILITY 4 and 5). Where the system allows no private
//! mounts there is nothing to mount; `codes` tries the same faults with a file-size limit and with permissions.

use crate::support::{Bench, Watched, assert_same, is_step, repository, results};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Command, Stdio};

/// `unshare` with the arguments that work here: root needs no user namespace of its own, others do.
fn private_mounts() -> Option<&'static [&'static str]> {
    let works = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(args).args(["mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    [&["--mount"][..], &["--mount", "--user", "--map-root-user"]].into_iter().find(|args| works(args))
}

#[test]
fn a_disk_that_fills_during_a_run_ends_it_with_21_and_resume_goes_on() {
    let Some(unshare) = private_mounts() else { return };
    let bench = Bench::new("llama");
    let sets = "--set train.steps=600 --set train.checkpoint_every=50";
    let args: Vec<&str> = ["train", "plan.yaml"].into_iter().chain(sets.split(' ')).collect();
    bench.done(&args);
    let want = bench.take_results();

    fs::create_dir(bench.path("run")).expect("a folder");
    let script = format!(
        "mount -t tmpfs -o size=4m none run && \"$0\" train plan.yaml --json {sets}
         rm run/filler && \"$0\" resume run --json && cp -r run saved"
    );
    let mut run = Watched::start(&mut in_shell(unshare, &script, &bench));
    assert!(run.until(is_step(60)).is_some(), "{:?}", run.end());
    // The mount is seen from outside through a process that lives in it.
    let filler = format!("/proc/{}/root/{}", run.pid(), bench.path("run/filler").display());
    let mut file = OpenOptions::new().create(true).append(true).open(filler).expect("a file on the small disk");
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let failed = run.until(|e| e["event"] == "error").expect("the disk is full");
    assert_eq!(failed["code"], 21, "{failed}");
    assert!(failed["message"].as_str().is_some_and(|m| m.contains("free")), "{failed}");
    let ran = run.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_same(&results(&bench.path("saved")), &want, "after a full disk");
}

#[test]
fn a_disk_too_small_is_refused_before_the_first_step() {
    let Some(unshare) = private_mounts() else { return };
    let bench = Bench::new("llama");
    fs::create_dir(bench.path("run")).expect("a folder");
    let script = "mount -t tmpfs -o size=2m none run && \"$0\" train plan.yaml --json --set adapter.r=32";
    let mut run = Watched::start(&mut in_shell(unshare, script, &bench));
    let failed = run.until(|e| e["event"] == "error" || e["event"] == "step").expect("an event");
    assert_eq!((failed["event"].as_str(), failed["code"].as_u64()), (Some("error"), Some(21)), "{failed}");
    assert!(failed["message"].as_str().is_some_and(|m| m.contains("free")), "{failed}");
    assert_eq!(run.end().code, 21);
}

#[test]
fn a_read_only_disk_is_refused_before_the_model_loads() {
    let Some(unshare) = private_mounts() else { return };
    let bench = Bench::new("llama");
    fs::create_dir(bench.path("disk")).expect("a folder");
    let script = "mount --bind disk disk && mount -o remount,ro,bind disk
                  exec \"$0\" train plan.yaml --json --set out=disk/run --set model=absent";
    let mut run = Watched::start(&mut in_shell(unshare, script, &bench));
    let failed = run.until(|e| e["event"] == "error").expect("an event");
    assert_eq!(failed["code"], 21, "{failed}");
    assert_eq!(failed["hint"], "set `out` to a folder that can be written", "{failed}");
    assert_eq!(run.end().code, 21);
}

/// A cache on a full or read-only disk ends no run that fits without; one that is there serves from a read-only disk too.
#[test]
fn a_cache_of_bases_on_a_full_or_read_only_disk() {
    let Some(unshare) = private_mounts() else { return };
    let bench = Bench::new("llama");
    let train = "train plan.yaml --json --set quantize=nf4 --set quantize_cache=disk";
    bench.done(&["train", "plan.yaml", "--set", "quantize=nf4", "--set", "quantize_cache=off"]);
    let want = bench.take_results();
    fs::create_dir(bench.path("disk")).expect("a folder");
    let remount = "mount --bind disk disk && mount -o remount,ro,bind disk";
    for (mount, says) in [
        ("mount -t tmpfs -o size=64k none disk", Some("free")),
        (remount, Some("cannot be written")),
        ("true", None),
        (remount, None),
    ] {
        let script = format!("{mount} && exec \"$0\" {train}");
        let ran = Watched::start(&mut in_shell(unshare, &script, &bench)).end();
        assert_eq!(ran.code, 0, "{mount}: {ran:?}");
        let note = ran.stdout.lines().find(|l| l.contains("quantised while loading"));
        assert_eq!(note.map(|note| note.contains(says.unwrap_or_default())), says.map(|_| true), "{mount}: {ran:?}");
        assert_same(&bench.take_results(), &want, mount);
    }
    // One that does not fit without the copy is refused, with the key to change.
    let script = format!(
        "mount -t tmpfs -o size=64k none disk
         model=\"--set model={} --set train.seq_len_max=64\"
         least=$(\"$0\" plan plan.yaml --set quantize=nf4 --set quantize_cache=disk --set train.memory=1B $model 2>&1 |
             sed -n 's/.*needs \\([0-9]*\\) bytes.*/\\1/p')
         exec \"$0\" {train} --set train.memory=$least $model",
        repository("examples/models/stories260K").display()
    );
    let mut run = Watched::start(&mut in_shell(unshare, &script, &bench));
    let failed = run.until(|e| e["event"] == "error").expect("an event");
    assert_eq!(failed["code"], 21, "{failed}");
    assert!(failed["message"].as_str().is_some_and(|m| m.contains("fits in memory only with its layers")), "{failed}");
    assert!(failed["hint"].as_str().is_some_and(|h| h.contains("quantize_cache")), "{failed}");
    assert_eq!(run.end().code, 21);
}

fn in_shell(unshare: &[&str], script: &str, bench: &Bench) -> Command {
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", script, env!("CARGO_BIN_EXE_athanor")]).current_dir(bench.path(""));
    command
}
