//! A panic is our own fault: say so, say how to report it, and end with exit code 1.

use crate::ui::text::{COLUMNS, visible, wrapped};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

const REPORT: &str = "This is a fault of athanor, not of your plan or data. Saved checkpoints are intact; \
`athanor resume` goes on from the last. Please report it with the command, the message above and the output of \
`athanor doctor`.";

/// Runs `main`; None when it panicked (already told on stderr).
pub fn guarded<T>(main: impl FnOnce() -> T) -> Option<T> {
    set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map_or_else(String::new, |l| format!(" ({}:{})", l.file(), l.line()));
        let report = wrapped(REPORT, COLUMNS - 2, 2);
        let text = format!("error: athanor failed: {}{place}\n  {report}\n", visible(message));
        // Nowhere is left to tell that stderr is closed.
        drop(crate::ui::eprint(&text));
    }));
    catch_unwind(AssertUnwindSafe(main)).ok()
}

#[cfg(test)]
mod tests {
    use super::guarded;
    use crate::exit::Code;

    #[test]
    fn a_panic_ends_with_the_code_of_our_own_fault() {
        let code = guarded(|| -> Code { panic!("on purpose") }).unwrap_or(Code::OwnFault);
        drop(std::panic::take_hook());
        assert_eq!(code.number(), 1);
    }
}
