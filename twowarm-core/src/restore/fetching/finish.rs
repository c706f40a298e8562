use std::time::Duration;

use super::Fetching;
use super::question::Answer;
use crate::child_task::end_this_process;
use crate::restore::Order;
use crate::wal::SegmentLayout;

impl Fetching<'_> {
    /// Whether a thread may still fetch.
    pub(in crate::restore) fn is_busy(&self) -> bool {
        self.abandoned || self.question.is_some()
    }

    /// Lets a question that has begun come to its end after the request was answered, so that the following
    /// segments arrive. `order` is the order in force, which may end it earlier. No thread of this process is left
    /// afterwards.
    pub(in crate::restore) fn finish(
        mut self,
        layout: Option<SegmentLayout>,
        order: &mut dyn FnMut() -> Order,
    ) {
        const TICK: Duration = Duration::from_millis(500);
        self.unstored.only_in_failover = true;
        // A scratch file is of no use any more.
        while let Some(question) = self.question.as_mut().filter(|q| q.scratch.is_none()) {
            let answer = question.answer(TICK, self.time_limit);
            let ending = match order() {
                Order::Stop(_) | Order::EndNow { serve_again: false } => break,
                Order::Wait | Order::Unsettled => false,
                _ => true,
            };
            if let Some(answer) = answer {
                // What became of the file that was asked for first is known already.
                let failed = matches!(answer, Answer::Failed(_));
                self.note(answer, ending && failed, layout);
            }
        }
        if self.is_busy() {
            end_this_process();
        }
    }
}
