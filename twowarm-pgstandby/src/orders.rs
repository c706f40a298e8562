//! What ends the wait: the trigger file as each dialect reads it, signals, `pg_ctl promote`, and a
//! server that is gone.

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

/// The name that `pg_ctl promote` gives its file in the data directory.
pub const PROMOTE: &str = "promote";

/// The orders that stand.
#[derive(Debug)]
pub struct Orders<'a> {
    arguments: &'a Arguments,
    trigger: Option<TriggerFile>,
    interrupts: Interrupts,
    postmaster: Postmaster,
    /// The segment asked for, where the server asks again for what it was refused (15 on): a fast
    /// trigger then remembers it.
    remembered: Option<SegmentName>,
    decided: Option<Order>,
    said: Option<String>,
}

impl<'a> Orders<'a> {
    /// For the server of the working directory.
    pub fn new(arguments: &'a Arguments, interrupts: Interrupts, asks_twice: bool) -> Orders<'a> {
        let name = arguments.next.to_str().and_then(|name| name.parse().ok());
        Orders {
            arguments,
            trigger: arguments.trigger.as_deref().map(TriggerFile::new),
            interrupts,
            postmaster: Postmaster::of(Path::new(".")),
            remembered: name.filter(|_| asks_twice),
            decided: None,
            said: None,
        }
    }

    fn say_once(&mut self, text: String) {
        if self.said.as_ref() != Some(&text) {
            say(&text);
            self.said = Some(text);
        }
    }

    /// 8.3 knows one trigger, and deletes it: it would be asked for the same file again, and has to
    /// restore it then.
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
                self.say_once(format!("trigger file {shown} found, empty"));
                Order::Unsettled
            }
            TriggerLook::Complete(Trigger::Smart) => {
                self.say_once(format!("trigger file {shown} found: smart failover"));
                Order::EndWhenAbsent
            }
            TriggerLook::Complete(Trigger::Unknown(_)) => {
                self.say_once(format!(
                    "WARNING: {shown} says neither smart nor fast, nothing is triggered"
                ));
                Order::Wait
            }
            TriggerLook::Complete(fast) => self.fast(&fast),
            // What stat can't see is not there.
            TriggerLook::Unreadable(e) if e.kind() == io::ErrorKind::NotADirectory => Order::Wait,
            TriggerLook::Unreadable(e) => {
                self.say_once(format!("WARNING: {e}"));
                Order::Wait
            }
        }
    }

    /// Through 14 a fast trigger becomes a smart one, so that the server gets the last segment again
    /// when it asks once more. From 15 on it would also get the segment that was refused.
    fn fast(&mut self, fast: &Trigger) -> Order {
        let Some(trigger) = &self.trigger else { return Order::Wait };
        let path = trigger.path().display().to_string();
        let changed = match (self.remembered, fast) {
            (Some(name), Trigger::FastFrom(_)) => {
                let serve_again = fast.lets_through(name.place);
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
            // The original opens it for writing, and without that is not triggered.
            Err(e) => {
                self.say_once(format!("WARNING: {e}"));
                Order::Wait
            }
        }
    }

    /// Before 9.3 the postmaster deletes the file as soon as it has its signal: only the event tells.
    fn promoted(&mut self, clock: &dyn Clock) -> bool {
        let written = fs::metadata(PROMOTE).and_then(|found| found.modified());
        let stands = written.is_ok_and(|at| self.postmaster.may_be_promoted_since(at));
        let meant = stands || clock.writing(Path::new(PROMOTE)) != Writing::Unseen;
        if meant {
            self.say_once("the server is to be promoted: smart failover".to_owned());
        }
        meant
    }
}

/// Deletes 8.3's trigger.
pub fn consume_trigger(trigger: &TriggerFile) -> Result<(), String> {
    say(&format!("trigger file {} found", trigger.path().display()));
    trigger.delete().map_err(|e| format!("{e}; it would end recovery again (exit {STOP_SERVER})"))
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
        if self.interrupts.order_fast() {
            if self.arguments.debug
                || (self.arguments.dialect.has_verbosity() && self.arguments.verbosity >= 1)
            {
                say("signalled: fast failover");
            }
            order = Order::EndNow { serve_again: false };
        }
        if let Some(gone) = no_server(&self.postmaster) {
            order = gone;
        }
        // A fast trigger has changed its file by now, and would read differently next time.
        if matches!(order, Order::EndNow { .. }) {
            self.decided = Some(order.clone());
        }
        order
    }
}

/// For histories, which are answered whatever is triggered: only a server that is gone ends the tries.
#[derive(Debug)]
pub struct OnlyTheServer {
    interrupts: Interrupts,
    postmaster: Postmaster,
}

impl OnlyTheServer {
    /// For the server of the working directory.
    pub fn new(interrupts: Interrupts) -> OnlyTheServer {
        OnlyTheServer { interrupts, postmaster: Postmaster::of(Path::new(".")) }
    }
}

impl RecoveryOrders for OnlyTheServer {
    fn look(&mut self, _clock: &dyn Clock) -> Order {
        // The original leaves its loop of retries by no other signal than those that kill it.
        self.interrupts.order_fast();
        no_server(&self.postmaster).unwrap_or(Order::Wait)
    }
}

fn no_server(postmaster: &Postmaster) -> Option<Order> {
    let gone = || Order::Stop("the server that asked is gone".to_owned());
    postmaster.is_gone().then(gone)
}
