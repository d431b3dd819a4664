//! A user's own program as the judge: it reads the answer from stdin and says yes by exit status 0.

use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a program under way is looked at.
const POLL: Duration = Duration::from_millis(5);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// The program and its arguments; no shell is between. Run in the suite's folder.
    pub run: Vec<String>,
    /// After so long it is ended, and has said no.
    #[serde(default = "seconds")]
    pub seconds: f64,
}

fn seconds() -> f64 {
    10.0
}

/// Bytes of a variable, at most: Linux takes no string of 128 KiB.
const VARIABLE_MAX: usize = 100 << 10;

/// What the program is told besides the answer, as environment variables; of long texts their beginnings.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// `ATHANOR_PROMPT`
    pub prompt: &'a str,
    /// `ATHANOR_EXPECTED`: the first accepted answer; empty where there is none.
    pub expected: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Yes,
    No,
    TooLate,
}

/// # Errors
/// A program that cannot be started or waited for.
pub fn ask(judge: &Judge, dir: &std::path::Path, answer: &str, about: About) -> io::Result<Said> {
    let [program, arguments @ ..] = judge.run.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "names no program"));
    };
    let mut command = Command::new(program);
    // A NUL ends a variable early on every system; text from a file may hold one.
    let plain = |text: &str| text[..text.floor_char_boundary(VARIABLE_MAX)].replace('\0', "\u{fffd}");
    command.args(arguments).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("ATHANOR_PROMPT", plain(about.prompt)).env("ATHANOR_EXPECTED", plain(about.expected));
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn()?;
    // A program need not read what it is given, and one that does not must not hold us up.
    let (stdin, text) = (child.stdin.take(), answer.to_owned());
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(text.as_bytes())));
    let status = within(&mut child, Duration::from_secs_f64(judge.seconds));
    if !matches!(status, Ok(Some(_))) {
        end(&mut child);
    }
    Ok(match status? {
        Some(status) if status.success() => Said::Yes,
        Some(_) => Said::No,
        None => Said::TooLate,
    })
}

fn within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() >= limit {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// Ends a program under way and what it started. Those that ended meanwhile are no error.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    drop(child.kill());
    drop(child.wait());
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn said(script: &str, seconds: f64, answer: &str) -> Said {
        let judge = Judge { run: ["sh", "-c", script].map(str::to_owned).into(), seconds };
        let about = About { prompt: "p", expected: "e" };
        ask(&judge, std::path::Path::new("/"), answer, about).expect("sh runs")
    }

    #[test]
    fn exit_status_decides() {
        assert_eq!(said("grep -q yes", 10.0, "oh yes"), Said::Yes);
        assert_eq!(said("grep -q yes", 10.0, "no"), Said::No);
        assert_eq!(said("test \"$ATHANOR_PROMPT$ATHANOR_EXPECTED\" = pe", 10.0, ""), Said::Yes);
        let about = About { prompt: &"提".repeat(1 << 20), expected: "e" };
        let long =
            Judge { run: ["sh", "-c", "test ${#ATHANOR_PROMPT} -gt 30000"].map(str::to_owned).into(), seconds: 10.0 };
        assert_eq!(ask(&long, std::path::Path::new("/"), "", about).expect("sh runs"), Said::Yes);
        // It reads none of a text that no pipe holds.
        assert_eq!(said("exit 0", 10.0, &"x".repeat(1 << 20)), Said::Yes);
    }

    #[test]
    fn a_program_is_ended_with_what_it_started() {
        let started = Instant::now();
        assert_eq!(said("sleep 60 & sleep 60", 0.2, ""), Said::TooLate);
        assert!(started.elapsed() < Duration::from_secs(20));
        let nothing = Judge { run: vec!["/no/such/program".to_owned()], seconds: 1.0 };
        assert!(ask(&nothing, std::path::Path::new("/"), "", About { prompt: "", expected: "" }).is_err());
    }
}
