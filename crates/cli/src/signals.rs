//! SIGINT and SIGTERM: the first asks the run to finish its step and save, the second quits at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

pub struct Signals {
    stop: Arc<AtomicBool>,
    /// The signal that came; 0: none.
    came: Arc<AtomicUsize>,
}

impl Signals {
    /// One for the whole program: a command that runs others stops with them.
    pub fn install() -> io::Result<&'static Signals> {
        static INSTALLED: OnceLock<Signals> = OnceLock::new();
        match INSTALLED.get() {
            Some(signals) => Ok(signals),
            None => {
                let signals = Signals::watching()?;
                Ok(INSTALLED.get_or_init(|| signals))
            }
        }
    }

    fn watching() -> io::Result<Signals> {
        let signals = Signals { stop: Arc::default(), came: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // Actions run in this order, so the first signal finds `stop` still down and only raises it.
            flag::register_conditional_shutdown(signal, 128 + signal, signals.stop.clone())?;
            flag::register_usize(signal, signals.came.clone(), signal.unsigned_abs() as usize)?;
            flag::register(signal, signals.stop.clone())?;
        }
        Ok(signals)
    }

    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    pub fn came_sigterm(&self) -> bool {
        self.came.load(Ordering::SeqCst) == SIGTERM.unsigned_abs() as usize
    }
}
