//! Writes lines from a thread of its own, many at a time, so that no message waits for a disk or for whoever reads a pipe.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long lines are gathered: one write for all of them costs little more than one for each did.
const GATHERING: Duration = Duration::from_millis(5);

/// Bytes that wait to be written; where nobody reads, later lines are lost, and counted.
const BYTES: usize = 1 << 20;

/// Bytes that a buffer keeps for the next lines.
const KEPT: usize = 64 << 10;

/// How long the end of the process waits for the last lines.
const FLUSH: Duration = Duration::from_secs(2);

/// Takes lines from any thread, in order.
#[derive(Clone)]
pub(super) struct Pen(Arc<Shared>);

struct Shared {
    desk: Mutex<Desk>,
    /// Lines have come, or are wanted at once.
    come: Condvar,
    /// All of them are written.
    done: Condvar,
}

#[derive(Default)]
struct Desk {
    lines: Vec<u8>,
    lost: u64,
    /// Not to be gathered any longer.
    urgent: bool,
    writing: bool,
}

impl Pen {
    /// Starts the thread, which writes to what `out` gives.
    pub(super) fn start<W: Write>(out: impl FnOnce() -> W + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { desk: Mutex::default(), come: Condvar::new(), done: Condvar::new() });
        let pen = Self(shared.clone());
        thread::Builder::new().name("log".into()).spawn(move || shared.write(out()))?;
        Ok(pen)
    }

    /// Waits, for a bounded time, until all lines are written.
    pub(super) fn flush(&self) {
        let mut desk = self.0.lock();
        desk.urgent = true;
        self.0.come.notify_one();
        let busy = |desk: &mut Desk| desk.writing || !desk.lines.is_empty();
        drop(self.0.done.wait_timeout_while(desk, FLUSH, busy));
    }
}

impl Write for Pen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut desk = self.0.lock();
        if desk.lines.len() + line.len() > BYTES {
            desk.lost += 1;
            return Ok(line.len());
        }
        let first = desk.lines.is_empty();
        desk.lines.extend_from_slice(line);
        drop(desk);
        if first {
            self.0.come.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        // Nothing that holds the lock can panic half way through a change.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        let mut desk = self.lock();
        loop {
            desk = self
                .come
                .wait_while(desk, |desk| desk.lines.is_empty() && desk.lost == 0)
                .unwrap_or_else(PoisonError::into_inner);
            let gathered = self.come.wait_timeout_while(desk, GATHERING, |desk| !desk.urgent);
            (desk, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut lines, &mut desk.lines);
            let lost = mem::take(&mut desk.lost);
            (desk.urgent, desk.writing) = (false, true);
            drop(desk);
            if lost > 0 {
                lines.extend_from_slice(
                    format!("{lost} lines of the log were lost: nobody took them in time\n").as_bytes(),
                );
            }
            // Nowhere is left to say that the log itself cannot be written.
            let _ = out.write_all(&lines);
            lines.clear();
            lines.shrink_to(KEPT);
            desk = self.lock();
            desk.writing = false;
            self.done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Gives what was written to the test, and waits for its leave before each write.
    struct Slow {
        leave: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without anybody to give leave, nothing has to wait any more.
            let _ = self.leave.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Pen, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (give, leave) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let out = Slow { leave, written: written.clone() };
        (Pen::start(move || out).unwrap(), give, written)
    }

    #[test]
    fn lines_of_all_threads_are_written_whole_and_in_order() {
        let (pen, leave, written) = slow();
        drop(leave);
        thread::scope(|scope| {
            for thread in 0..4 {
                let mut pen = pen.clone();
                scope.spawn(move || {
                    for n in 0..1_000 {
                        pen.write_all(format!("{thread} {n}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        pen.flush();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 4_000);
        for thread in 0..4 {
            let prefix = format!("{thread} ");
            let own = written.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse::<usize>().ok());
            assert!(own.eq(0..1_000), "thread {thread}");
        }
    }

    #[test]
    fn who_does_not_read_loses_lines_and_is_told_how_many() {
        let (mut pen, leave, written) = slow();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let all = 3 * BYTES / line.len();
        // Writes do not wait, though nothing is taken.
        for _ in 0..all {
            pen.write_all(&line).unwrap();
        }
        drop(leave);
        pen.flush();
        // What came before the loss may have been taken already; then the word on the loss comes with the next write.
        pen.flush();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lost: usize =
            written.lines().filter_map(|line| line.split_once(" lines of the log")?.0.parse::<usize>().ok()).sum();
        let kept = written.lines().filter(|line| line.starts_with('x')).count();
        assert_eq!(kept + lost, all);
        assert!(lost >= all / 3, "{lost}");
    }
}
