use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::relay::Connection;
use super::{Direction, Fault};

/// The network that all connections of one proxy share.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) delay: Duration,
    /// 0 is no limit.
    pub(super) bytes_per_second: u64,
    pub(super) stalled: bool,
    pub(super) refusing: bool,
    pub(super) faults: Vec<(Direction, u64, Fault)>,
    pub(super) bytes: [u64; 2],
    pub(super) accepted: u64,
    /// When the line has sent what was put on it, for each direction.
    free: [Option<Instant>; 2],
    connections: Vec<Weak<Connection>>,
}

/// When bytes are sent and when they arrive.
pub(super) struct Schedule {
    pub(super) sent: Instant,
    pub(super) arrives: Instant,
}

impl Line {
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    pub(super) fn ask<T>(&self, ask: impl FnOnce(&State) -> T) -> T {
        ask(&self.lock())
    }

    /// Whether a new connection is served; counts it.
    pub(super) fn admits(&self) -> bool {
        let mut state = self.lock();
        state.accepted += u64::from(!state.refusing);
        !state.refusing
    }

    /// Registers a connection for [`Line::close_all`]. `false` if connections are refused now.
    pub(super) fn register(&self, connection: Weak<Connection>) -> bool {
        let mut state = self.lock();
        state.connections.retain(|known| known.strong_count() > 0);
        state.connections.push(connection);
        !state.refusing
    }

    pub(super) fn close_all(&self) {
        let connections = std::mem::take(&mut self.lock().connections);
        connections.iter().filter_map(Weak::upgrade).for_each(|connection| connection.close());
    }

    /// Returns when bytes may pass.
    pub(super) fn wait_until_passable(&self) {
        let state = self.lock();
        let passable = self.changed.wait_while(state, |state| state.stalled);
        drop(passable.unwrap_or_else(PoisonError::into_inner));
    }

    /// Puts bytes on the line.
    pub(super) fn send(&self, direction: Direction, length: usize) -> Schedule {
        let mut state = self.lock();
        state.bytes[direction as usize] += length as u64;
        let now = Instant::now();
        let start = state.free[direction as usize].map_or(now, |free| free.max(now));
        let duration = match state.bytes_per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(length as f64 / rate as f64),
        };
        let sent = start + duration;
        state.free[direction as usize] = Some(sent);
        Schedule { sent, arrives: sent + state.delay }
    }

    /// Takes the scheduled faults in these bytes of a connection, in the order of their offsets.
    pub(super) fn take_faults(
        &self,
        direction: Direction,
        from: u64,
        length: usize,
    ) -> Vec<(usize, Fault)> {
        let mut state = self.lock();
        let here = |&mut (fault_direction, offset, _): &mut (Direction, u64, Fault)| {
            fault_direction == direction && (from..from + length as u64).contains(&offset)
        };
        let taken = state.faults.extract_if(.., here);
        let mut taken: Vec<_> =
            taken.map(|(_, offset, fault)| ((offset - from) as usize, fault)).collect();
        taken.sort_by_key(|(at, _)| *at);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
