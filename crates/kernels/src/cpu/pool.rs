//! Threads that share the tasks of one call at a time.
//!
//! A training step is thousands of short calls one after another. Threads that slept between them would spend a tenth of
//! the step on waking up, so a thread looks for the next call for a while ([`WATCH`]) before it sleeps. The caller takes
//! part in the work; tasks are handed out one by one, in order, to whoever is free.

use crate::{KernelError, Result};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an idle thread looks for work before it sleeps: longer than the gaps within a step.
const WATCH: Duration = Duration::from_micros(200);
/// Looks between two looks at the clock.
const LOOKS: u32 = 64;

/// The number of workers in the call, this bit while it takes more, and above it the call's number.
const OPEN: u64 = 1 << 16;
const NUMBER: u64 = 1 << 17;
const INSIDE: u64 = OPEN - 1;

thread_local! {
    /// This thread's number in its pool.
    static SLOT: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread is in a task: a call from there runs on this thread alone.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One call at a time.
    calls: Mutex<()>,
}

#[derive(Debug, Default)]
struct Shared {
    gate: AtomicU64,
    /// The call's [`Job`], on its caller's stack. Read by those inside only.
    job: AtomicPtr<Job<'static>>,
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    end: AtomicBool,
}

struct Job<'a> {
    tasks: usize,
    next: AtomicUsize,
    run: &'a (dyn Fn(usize) + Sync),
    /// What the first task that panicked said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job<'_> {
    /// Takes tasks until there are none.
    fn work(&self) {
        let before = BUSY.replace(true);
        let done = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let i = self.next.fetch_add(1, Ordering::Relaxed);
                if i >= self.tasks {
                    break;
                }
                (self.run)(i);
            }
        }));
        BUSY.set(before);
        if let Err(panic) = done {
            self.next.store(self.tasks, Ordering::Relaxed);
            lock(&self.panic).get_or_insert(panic);
        }
    }
}

impl Pool {
    /// # Errors
    /// `Threads` when the system gives none.
    pub(super) fn new(threads: usize) -> Result<Pool> {
        let shared = Arc::new(Shared::default());
        let mut pool = Pool { shared: Arc::clone(&shared), workers: Vec::new(), calls: Mutex::new(()) };
        for slot in 1..threads.min(INSIDE as usize) {
            let shared = Arc::clone(&shared);
            let worker = std::thread::Builder::new().name(format!("kernels-{slot}")).spawn(move || {
                SLOT.set(slot);
                shared.serve();
            });
            pool.workers.push(worker.map_err(|e| KernelError::Threads { threads, reason: e.to_string() })?);
        }
        Ok(pool)
    }

    pub(super) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// A number below `threads()` that no other thread in the same call has: for memory of its own. Tasks never wait for
    /// other tasks, so a thread is in one task at a time.
    pub(super) fn slot(&self) -> usize {
        SLOT.get()
    }

    /// f(0), …, f(tasks − 1), each once, in any order.
    pub(super) fn each(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        if tasks <= 1 || self.workers.is_empty() || BUSY.get() {
            (0..tasks).for_each(f);
            return;
        }
        let _one = lock(&self.calls);
        let job = Job { tasks, next: AtomicUsize::new(0), run: &f, panic: Mutex::new(None) };
        self.shared.open(&job);
        job.work();
        self.shared.close();
        if let Some(panic) = lock(&job.panic).take() {
            resume_unwind(panic);
        }
    }
}

impl Shared {
    fn open(&self, job: &Job) {
        self.job.store(std::ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        // nobody is inside: the last call waited for that
        let number = self.gate.load(Ordering::Relaxed) & !(NUMBER - 1);
        self.gate.store(number.wrapping_add(NUMBER) | OPEN, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.sleep));
            self.wake.notify_all();
        }
    }

    /// Returns when all have left: the job may then be forgotten.
    fn close(&self) {
        self.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let start = Instant::now();
        while self.gate.load(Ordering::Acquire) & INSIDE > 0 {
            // Who is missing may wait for this very processor.
            if start.elapsed() < WATCH { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    /// A worker's life.
    fn serve(&self) {
        let mut last = 0;
        while let Some(gate) = self.next_call(last) {
            last = gate & !(NUMBER - 1);
            if self.gate.compare_exchange(gate, gate + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                // Others went in, or it was closed: look again.
                last = last.wrapping_sub(NUMBER);
                continue;
            }
            // SAFETY: the call cannot return, and its job not end, while this thread is counted as inside.
            unsafe { &*self.job.load(Ordering::Relaxed) }.work();
            self.gate.fetch_sub(1, Ordering::Release);
        }
    }

    /// The gate, when it is open for another call than `last`; None when the pool ends.
    fn next_call(&self, last: u64) -> Option<u64> {
        let open = || {
            let gate = self.gate.load(Ordering::SeqCst);
            (gate & OPEN > 0 && gate & !(NUMBER - 1) != last).then_some(gate)
        };
        let ended = || self.end.load(Ordering::SeqCst);
        let mut start = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if let Some(gate) = open() {
                    return Some(gate);
                }
                std::hint::spin_loop();
            }
            if start.elapsed() < WATCH {
                continue;
            }
            let mut sleep = lock(&self.sleep);
            self.asleep.fetch_add(1, Ordering::SeqCst);
            while open().is_none() && !ended() {
                sleep = self.wake.wait(sleep).unwrap_or_else(PoisonError::into_inner);
            }
            self.asleep.fetch_sub(1, Ordering::SeqCst);
            if ended() {
                return None;
            }
            start = Instant::now();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
        drop(lock(&self.shared.sleep));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A task's panic was handed to its caller; the worker itself cannot.
            let _ = worker.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_runs_once() {
        let pool = Pool::new(3).unwrap();
        for tasks in [0, 1, 2, 3, 7, 1000] {
            let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            pool.each(tasks, |i| {
                assert!(pool.slot() < pool.threads());
                done[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
        }
    }

    /// After threads have gone to sleep they are woken.
    #[test]
    fn calls_after_a_pause() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..20 {
            let sum = AtomicUsize::new(0);
            pool.each(50, |i| _ = sum.fetch_add(i, Ordering::Relaxed));
            assert_eq!(sum.into_inner(), 49 * 50 / 2);
            while pool.shared.asleep.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_call_within_a_task_runs_there() {
        let pool = Pool::new(2).unwrap();
        let sum = AtomicUsize::new(0);
        pool.each(4, |_| pool.each(5, |i| _ = sum.fetch_add(i, Ordering::Relaxed)));
        assert_eq!(sum.into_inner(), 4 * 10);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        for bad in [0, 63] {
            let call = catch_unwind(AssertUnwindSafe(|| pool.each(64, |i| assert!(i != bad, "task {i}"))));
            assert_eq!(call.unwrap_err().downcast_ref::<String>().unwrap(), &format!("task {bad}"));
            let count = AtomicUsize::new(0);
            pool.each(64, |_| _ = count.fetch_add(1, Ordering::Relaxed));
            assert_eq!(count.into_inner(), 64);
        }
    }
}
