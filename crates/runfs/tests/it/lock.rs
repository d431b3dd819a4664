use runfs::{RunFsError, RunLock};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Names the folder to a child process and makes it one.
const DIR_VARIABLE: &str = "RUNFS_TEST_LOCK_DIR";
const ROUNDS: usize = 50;

struct Holder {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Holder {
    /// This test binary again, running [`a_process_that_holds_the_lock`].
    fn start(dir: &Path) -> Holder {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lock::a_process_that_holds_the_lock", "--nocapture"])
            .env(DIR_VARIABLE, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut holder = Holder { child, out };
        holder.line("ready");
        holder
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"g").unwrap();
    }

    /// The rest of the next line with `word` in it; the test harness's own lines are passed over.
    fn line(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the process ended without {word:?}");
    }

    /// Ends it as kill -9 does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // A test that failed leaves no process behind; after a normal end there is none.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test of its own: without the variable it passes at once. With it, it waits for a byte, tries for the lock,
/// tells, and holds it until its input ends.
#[test]
fn a_process_that_holds_the_lock() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let mut input = std::io::stdin().lock();
    println!("\nready");
    input.read_exact(&mut [0]).unwrap();
    let lock = RunLock::acquire(Path::new(&dir));
    match &lock {
        Ok(_) => println!("\ngot: held"),
        Err(RunFsError::InUse { pid: Some(pid), .. }) => println!("\ngot: refused for {pid}"),
        Err(other) => println!("\ngot: {other}"),
    }
    input.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn of_two_processes_one_is_refused_naming_the_other() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let mut both = [Holder::start(dir.path()), Holder::start(dir.path())];
        for holder in &mut both {
            holder.go();
        }
        let answers = both.each_mut().map(|holder| holder.line("got:"));
        let winner = answers.iter().position(|a| a == "held").unwrap_or_else(|| panic!("{round}: {answers:?}"));
        let expected = format!("refused for {}", both[winner].child.id());
        assert_eq!(answers[1 - winner], expected, "round {round}");
        match RunLock::acquire(dir.path()) {
            Err(RunFsError::InUse { pid, .. }) => assert_eq!(pid, Some(both[winner].child.id())),
            other => panic!("round {round}: {other:?}"),
        }
        both[winner].kill();
        drop(RunLock::acquire(dir.path()).expect("kill -9 frees the lock"));
    }
}

#[test]
fn within_a_process_too_and_until_dropped() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/run");
    let first = RunLock::acquire(&dir).unwrap();
    let error = RunLock::acquire(&dir).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is in use by process {}", dir.display(), std::process::id()));
    drop(first);
    RunLock::acquire(&dir).unwrap();
}
