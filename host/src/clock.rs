//! Time and randomness, handed in wherever they are needed, so that tests and transcripts can move them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub use self::rehearsed::{RehearsedClock, SeededRandomness};

mod rehearsed;

/// Resolves when a time has come, counted from when it was made.
pub struct Sleep(Kind);

enum Kind {
    /// The runtime's timer is set only once somebody waits for it: most of what is bounded is done at once.
    System {
        deadline: Instant,
        timer: Option<Pin<Box<tokio::time::Sleep>>>,
    },
    Other(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Sleep {
    /// By the system's clock.
    fn system(time: Duration) -> Self {
        // A time that no clock reaches is never reached.
        let deadline = Instant::now().checked_add(time);
        deadline.map_or_else(
            || Self::other(std::future::pending()),
            |deadline| Self(Kind::System { deadline, timer: None }),
        )
    }

    /// By another clock.
    pub fn other(time: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Kind::Other(Box::pin(time)))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Kind::System { deadline, timer } => {
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until((*deadline).into())));
                timer.as_mut().poll(context)
            }
            Kind::Other(time) => time.as_mut().poll(context),
        }
    }
}

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time since the Unix epoch.
    fn now(&self) -> Duration;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Resolves when so much time has passed: the host's own bounds on what it waits for.
    fn sleep(&self, time: Duration) -> Sleep {
        Sleep::system(time)
    }

    /// The same, for whoever makes others wait: a plugin that sleeps. A clock that stands still otherwise moves on for it.
    fn take(&self, time: Duration) -> Sleep {
        Sleep::system(time)
    }
}

/// The system's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        // Before 1970 only on a machine whose clock is not set; zero is then as good as any.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Where random bytes come from.
pub trait Randomness: Send + Sync + 'static {
    /// Fills `bytes` with bytes that nobody can foresee.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator, through a generator seeded from it in each thread.
#[derive(Debug, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        rand::Rng::fill_bytes(&mut rand::rng(), bytes);
    }
}

/// A number in `0..n`; 0 when `n` is 0.
pub fn index(randomness: &dyn Randomness, n: usize) -> usize {
    let mut bytes = [0; 8];
    randomness.fill(&mut bytes);
    // The bias of the remainder is below n / 2^64.
    (u64::from_le_bytes(bytes) % (n.max(1) as u64)) as usize
}

/// Time and randomness together, as they travel through the host.
#[derive(Clone)]
pub struct World {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub randomness: Arc<dyn Randomness>,
}

impl World {
    /// The real ones.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::default()), randomness: Arc::new(SystemRandomness) }
    }
}
