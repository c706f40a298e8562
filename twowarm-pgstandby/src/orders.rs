//! What ends the wait: the trigger file, by the rules of the dialect; signals; `pg_ctl promote`; and the
//! end of the server.

use std::fs;
use std::io;
use std::path::Path;

use twowarm_core::data_directory::Postmaster;
use twowarm_core::restore::{Clock, Order, RecoveryOrders};
use twowarm_core::trigger::{Trigger, TriggerFile, TriggerLook, Writing};
use twowarm_core::wal::SegmentName;

use crate::arguments::Arguments;
use crate::dialect::Dialect;
use crate::exit_codes::STOP_SERVER;
use crate::interrupts::Interrupts;
use crate::messages::say;

/// The file that `pg_ctl promote` creates in the data directory.
pub const PROMOTE: &str = "promote";

/// The orders in force for this call.
#[derive(Debug)]
pub struct Orders<'a> {
    arguments: &'a Arguments,
    trigger: Option<TriggerFile>,
    interrupts: Interrupts,
    postmaster: Postmaster,
    /// The requested segment, if the server requests a refused segment again (from 15 on). A fast
    /// trigger then remembers it.
    to_remember: Option<SegmentName>,
    decided: Option<Order>,
    last_said: Option<String>,
}

impl<'a> Orders<'a> {
    /// Orders for the server that runs in the working directory.
    pub fn new(arguments: &'a Arguments, interrupts: Interrupts, asks_twice: bool) -> Orders<'a> {
        let name = arguments.next.to_str().and_then(|name| name.parse().ok());
        Orders {
            arguments,
            trigger: arguments.trigger.as_deref().map(TriggerFile::new),
            interrupts,
            postmaster: Postmaster::of(Path::new(".")),
            to_remember: name.filter(|_| asks_twice),
            decided: None,
            last_said: None,
        }
    }

    fn say_once(&mut self, text: String) {
        if self.last_said.as_ref() != Some(&text) {
            say(&text);
            self.last_said = Some(text);
        }
    }

    /// Dialect 8.3 has one kind of trigger and deletes the file, since the server requests the last file
    /// again and must get it then.
    fn consume(&mut self) -> Order {
        let Some(trigger) = &self.trigger else { return Order::Wait };
        if fs::metadata(trigger.path()).is_err() {
            return Order::Wait;
        }
        match consume_trigger(trigger) {
            Ok(()) => Order::EndNow { serve_again: false },
            Err(problem) => Order::Stop(problem),
        }
    }

    fn read(&mut self, clock: &dyn Clock) -> Order {
        let Some(trigger) = &mut self.trigger else { return Order::Wait };
        let path = trigger.path().to_owned();
        let shown = path.display();
        match trigger.look(clock.writing(&path)) {
            TriggerLook::Absent => Order::Wait,
            TriggerLook::Unsettled => {
                self.say_once(format!("trigger file {shown} found; it is empty"));
                Order::Unsettled
            }
            TriggerLook::Complete(Trigger::Smart) => {
                self.say_once(format!("trigger file {shown} found: smart failover"));
                Order::EndWhenAbsent
            }
            TriggerLook::Complete(Trigger::Unknown(_)) => {
                self.say_once(format!(
                    "WARNING: trigger file {shown} is ignored: it contains neither \"smart\" nor \"fast\""
                ));
                Order::Wait
            }
            TriggerLook::Complete(fast) => self.fast(&fast),
            // For the original, a path on which stat fails does not exist.
            TriggerLook::Unreadable(e) if e.kind() == io::ErrorKind::NotADirectory => Order::Wait,
            TriggerLook::Unreadable(e) => {
                self.say_once(format!("WARNING: {e}"));
                Order::Wait
            }
        }
    }

    /// Up to 14 the file is emptied, which makes it a smart trigger: the server requests the last
    /// segment again and must get it. From 15 on a smart trigger would also restore the segment that was
    /// just refused.
    fn fast(&mut self, fast: &Trigger) -> Order {
        let Some(trigger) = &self.trigger else { return Order::Wait };
        let path = trigger.path().display().to_string();
        let changed = match (self.to_remember, fast) {
            (Some(name), Trigger::FastFrom(_)) => {
                let serve_again = fast.may_restore(name.place);
                self.say_once(format!("trigger file {path} found: fast failover"));
                return Order::EndNow { serve_again };
            }
            (Some(name), _) => trigger.remember(name),
            (None, _) => trigger.truncate(),
        };
        match changed {
            Ok(()) => {
                self.say_once(format!("trigger file {path} found: fast failover"));
                Order::EndNow { serve_again: false }
            }
            // The original must open the file for writing; otherwise it is not triggered.
            Err(e) => {
                self.say_once(format!("WARNING: {e}"));
                Order::Wait
            }
        }
    }

    /// Before 9.3 the postmaster deletes the file as soon as it gets the signal, so that only the
    /// inotify event shows it.
    fn promoted(&mut self, clock: &dyn Clock) -> bool {
        let written = fs::metadata(PROMOTE).and_then(|found| found.modified());
        let exists = written.is_ok_and(|at| self.postmaster.may_be_promoted_since(at));
        let promoted = exists || clock.writing(Path::new(PROMOTE)) != Writing::Unseen;
        if promoted {
            self.say_once("promotion of the server was requested: smart failover".to_owned());
        }
        promoted
    }
}

/// Deletes the trigger file of dialect 8.3.
pub fn consume_trigger(trigger: &TriggerFile) -> Result<(), String> {
    say(&format!("trigger file {} found", trigger.path().display()));
    trigger.delete().map_err(|e| {
        format!(
            "{e}; the file would end recovery again, so the server must stop (exit {STOP_SERVER})"
        )
    })
}

impl RecoveryOrders for Orders<'_> {
    fn look(&mut self, clock: &dyn Clock) -> Order {
        if let Some(order) = &self.decided {
            return order.clone();
        }
        let mut order = match self.arguments.dialect {
            Dialect::V8_3 => self.consume(),
            _ => self.read(clock),
        };
        if order == Order::Wait && self.arguments.dialect.obeys_promote() && self.promoted(clock) {
            order = Order::EndWhenAbsent;
        }
        if self.interrupts.fast_requested() {
            if self.arguments.debug
                || (self.arguments.dialect.has_verbosity() && self.arguments.verbosity >= 1)
            {
                say("signal received: fast failover");
            }
            order = Order::EndNow { serve_again: false };
        }
        if let Some(gone) = no_server(&self.postmaster) {
            order = gone;
        }
        // The fast trigger's file has been changed and would be read differently next time.
        if matches!(order, Order::EndNow { .. }) {
            self.decided = Some(order.clone());
        }
        order
    }
}

/// Orders for a history file, which is restored even if a trigger is found: only the end of the server
/// counts.
#[derive(Debug)]
pub struct OnlyTheServer {
    interrupts: Interrupts,
    postmaster: Postmaster,
}

impl OnlyTheServer {
    /// Orders for the server that runs in the working directory.
    pub fn new(interrupts: Interrupts) -> OnlyTheServer {
        OnlyTheServer { interrupts, postmaster: Postmaster::of(Path::new(".")) }
    }
}

impl RecoveryOrders for OnlyTheServer {
    fn look(&mut self, _clock: &dyn Clock) -> Order {
        // Only SIGQUIT counts here: the original's retries are not ended by the others.
        self.interrupts.fast_requested();
        no_server(&self.postmaster).unwrap_or(Order::Wait)
    }
}

fn no_server(postmaster: &Postmaster) -> Option<Order> {
    let gone = || Order::Stop("the server that requested this file has exited".to_owned());
    postmaster.is_gone().then(gone)
}
