use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::archive::{FetchStep, OtherArchive, Wanted};
use crate::limits::Background;
use crate::wal::WalFileName;

/// A question to another archive, on a thread that can be abandoned.
#[derive(Debug)]
pub(super) struct Question {
    /// The index of the place.
    pub(super) place: usize,
    /// Its node, as one word.
    pub(super) node: String,
    result: Background<Answer>,
    shared: Arc<Shared>,
    begun: Instant,
    /// The number of steps, and when it was last seen to change.
    last: (u64, Instant),
}

#[derive(Debug, Default)]
struct Shared {
    steps: AtomicU64,
    stop: AtomicBool,
}

/// What became of the first of the wanted files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is in this node's archive, and so is this file, the last of those that follow; if none of these was
    /// missing there, `more` may be.
    Fetched { last: WalFileName, more: bool },
    /// The other archive does not have it.
    Absent,
    /// It has it, and it is unfit, for this reason; perhaps only because its records are damaged.
    Unfit { why: String, damaged: bool },
    /// The other archive could not be asked, or the file could not be stored here, for this reason.
    Failed(String),
}

impl Question {
    pub(super) fn ask(
        place: usize,
        archive: Arc<dyn OtherArchive>,
        wanted: Vec<Wanted>,
    ) -> io::Result<Question> {
        let node = name_of(&*archive);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let result = Background::start(move || fetch(&*archive, &wanted, &theirs))?;
        let begun = Instant::now();
        Ok(Question { place, node, result, shared, begun, last: (0, begun) })
    }

    /// The answer, or `None` if there is none yet. A node that lets nothing arrive for `limit` has failed, also if
    /// its heartbeat continues: its disk may hang.
    pub(super) fn answer(&mut self, wait: Duration, limit: Duration) -> Option<Answer> {
        if let Some(answer) = self.result.wait(wait) {
            return Some(answer);
        }
        let steps = self.shared.steps.load(Ordering::Relaxed);
        if steps != self.last.0 {
            self.last = (steps, Instant::now());
        }
        (self.last.1.elapsed() >= limit).then(|| {
            self.shared.stop.store(true, Ordering::Relaxed);
            Answer::Failed(format!("{} did not answer within {} s", self.node, limit.as_secs()))
        })
    }

    /// How long ago it was asked.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

fn fetch(archive: &dyn OtherArchive, wanted: &[Wanted], shared: &Shared) -> Answer {
    let Some(first) = wanted.first().map(|wanted| wanted.name) else { return Answer::Absent };
    let (mut answer, mut last, mut more, mut begun) = (None, first, true, false);
    let done = archive.fetch(wanted, &mut |step| {
        shared.steps.fetch_add(1, Ordering::Relaxed);
        match step {
            // Logged when it begins: the request is answered, and the log closed, as soon as the file is stored.
            FetchStep::Data if !begun => {
                begun = true;
                log::info!("fetching {first} from {}", archive.node());
            }
            FetchStep::Stored(name, _) if name == first => {
                answer = Some(Answer::Fetched { last: first, more });
            }
            FetchStep::Stored(name @ WalFileName::Segment(_), _) => last = name,
            FetchStep::Absent(name) if name == first => answer = Some(Answer::Absent),
            FetchStep::Unfit { name, why, damaged } if name == first => {
                answer = Some(Answer::Unfit { why, damaged });
            }
            FetchStep::Absent(WalFileName::Segment(_)) => more = false,
            FetchStep::Unfit { name, why, .. } => {
                more = false;
                log::debug!("did not fetch {name} from {}: {why}", archive.node());
            }
            _ => {}
        }
        !shared.stop.load(Ordering::Relaxed)
    });
    match (answer, done) {
        // If the connection failed then, the next file is asked for as if it had not.
        (Some(Answer::Fetched { .. }), _) => Answer::Fetched { last, more },
        (Some(answer), _) => answer,
        (None, Err(e)) => Answer::Failed(e.to_string()),
        (None, Ok(())) => Answer::Failed("it was told to stop".into()),
    }
}

/// A node's name as one word.
pub(super) fn name_of(archive: &dyn OtherArchive) -> String {
    archive.node().replace(char::is_whitespace, "_")
}
